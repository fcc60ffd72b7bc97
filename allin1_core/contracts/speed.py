"""What a backend costs, as its author measured it."""

from __future__ import annotations

from dataclasses import dataclass

from allin1_core.contracts.rules import Amount, Count, Line

#: Networks in the ensemble ``harmonix-all``.
ENSEMBLE = 8


@dataclass(frozen=True)
class Speed:
    """A shipped prior of a backend's cost on one class of device.

    Attributes
    ----------
    device
        Class of device, such as ``cpu`` or ``cuda``.
    setup_s
        Seconds until the first work can start, beyond what the backend's probe has done: what that imports is paid
        before anything is chosen or, where there is a quick probe, is among the start-ups that it names.
    rate
        Seconds of work per second of audio.
    measured
        Where that was measured: machine and date, or the benchmark that prints it.
    members
        For ``nn``, how many networks the measured model had. The work for a model of more or fewer is taken to be
        in proportion.
    shape_s
        Seconds that the first input of each length costs besides, such as for compilation. It is charged for every song
        of a batch, whose lengths differ; leave it 0 for a backend that pads its input to a few lengths.
    """

    device: Line
    setup_s: Amount
    rate: Amount
    measured: Line
    members: Count = ENSEMBLE
    shape_s: Amount = 0.0

    def cost_s(self, audio_s: float, songs: int = 1) -> float:
        """Seconds for a request of `songs` songs that are `audio_s` seconds of audio together."""
        return self.setup_s + self.shape_s * songs + self.rate * audio_s
