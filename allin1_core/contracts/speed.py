"""The cost of a backend, as measured by its author."""

from __future__ import annotations

from dataclasses import dataclass

from allin1_core.contracts.rules import Amount, Count, Line

#: Number of networks in the ensemble ``harmonix-all``.
ENSEMBLE = 8


@dataclass(frozen=True)
class Speed:
    """A prior of a backend's cost on one class of device.

    Attributes
    ----------
    device
        Class of device, such as ``cpu`` or ``cuda``.
    setup_s
        Seconds until the first work can start, except what the backend's probe does: what that imports is paid for
        before anything is chosen or, if there is a quick probe, is among the start-ups that it reports.
    rate
        Seconds of work per second of audio.
    measured
        Source of the measurement: machine and date, or the benchmark that prints it.
    members
        For ``nn``, the number of networks in the measured model. The cost of models with more or fewer is assumed to be
        proportional.
    shape_s
        Additional seconds for the first input of each length, for example for compilation. They are charged for every
        song of a batch, because lengths differ; leave it 0 for a backend that pads its input to a few lengths.
    """

    device: Line
    setup_s: Amount
    rate: Amount
    measured: Line
    members: Count = ENSEMBLE
    shape_s: Amount = 0.0

    def cost_s(self, audio_s: float, songs: int = 1) -> float:
        """Seconds for a request of `songs` songs with `audio_s` seconds of audio in total."""
        return self.setup_s + self.shape_s * songs + self.rate * audio_s
