"""What a backend costs, as its author measured it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Speed:
    """A shipped prior of a backend's cost on one class of device.

    Attributes
    ----------
    device
        Class of device, such as ``cpu`` or ``cuda``.
    setup_s
        Seconds until the first work can start, beyond what the backend's probe has done: where the probe imports
        the library, that is paid before anything is chosen.
    rate
        Seconds of work per second of audio; for ``nn``, of the ensemble of eight.
    measured
        Where that was measured: machine and date, or the benchmark that prints it.
    """

    device: str
    setup_s: float
    rate: float
    measured: str

    def cost_s(self, audio_s: float) -> float:
        """Seconds for a request of `audio_s` seconds of audio."""
        return self.setup_s + self.rate * audio_s
