"""The cost of a backend: measured on this machine, or else the prior that its author declared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Protocol

from allin1_core.contracts.audio import SAMPLE_RATE
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.space import Bridge, Space
from allin1_core.contracts.spectrogram import BANDS, FRAMES_PER_SECOND
from allin1_core.contracts.speed import Speed
from allin1_core.contracts.stages import Stage
from allin1_core.contracts.verdict import Ready
from allin1_core.plugins.record import PluginRecord

#: Source of the price of a bridge that was not measured.
PRIOR = "prior"

#: Seconds charged for a backend of unknown speed: it ranks after all known ones, and can still be added.
UNKNOWN_S = 1e6

#: Bytes per second of audio of the input of each stage, for the price of moves between spaces.
BYTES_PER_SECOND: dict[Stage, float] = {
    "demix": 4.0 * 2 * SAMPLE_RATE,
    "spectrogram": 4.0 * 4 * 2 * SAMPLE_RATE,
    "nn": 4.0 * 4 * BANDS * FRAMES_PER_SECOND,
    "metrical_prep": 4.0 * 13 * FRAMES_PER_SECOND,
    "metrical_dbn": 4.0 * 2 * FRAMES_PER_SECOND,
    "functional": 4.0 * 13 * FRAMES_PER_SECOND,
}


class Prices(Protocol):
    """Known speeds of backends and bridges on this machine."""

    def of_backend(self, backend: Backend[Any], plugin: PluginRecord, ready: Ready) -> Speed | None:
        """The measurement of a backend; None if there is no valid one."""
        ...

    def of_bridges(self, spaces: Collection[Space]) -> Mapping[Bridge, str]:
        """Every bridge at its price, with the source of the price; those between `spaces` as measured."""
        ...


class Priors:
    """The prices that plugins declare, without any measurements."""

    def __init__(self, bridges: Collection[Bridge]) -> None:
        self._bridges = dict.fromkeys(bridges, PRIOR)

    def of_backend(self, backend: Backend[Any], plugin: PluginRecord, ready: Ready) -> None:
        """Return None, because nothing was measured."""

    def of_bridges(self, spaces: Collection[Space]) -> Mapping[Bridge, str]:
        """Every bridge at the price that its plugin declares."""
        return self._bridges


def estimate(
    backend: Backend[Any],
    audio_s: float,
    measured: Speed | None = None,
    members: int | None = None,
    songs: int = 1,
) -> tuple[float, str]:
    """Return the seconds that `backend` would take for `audio_s` seconds of audio in `songs` songs, and their source.

    A measurement on this machine is preferred to the prior for the backend's device, and that to its first prior.
    Priors are scaled to the `members` of the model.
    """
    if measured is not None:
        return measured.cost_s(audio_s, songs), measured.measured
    if not backend.speed:
        return UNKNOWN_S, "no speed known"
    of_device = [s for s in backend.speed if s.device.startswith(backend.device)]
    prior = (of_device or list(backend.speed))[0]
    speed, evidence = prior, f"prior: {prior.measured}"
    if "nn" in backend.stages and members is not None and members != prior.members:
        speed = replace(prior, rate=prior.rate * members / prior.members)
        evidence += f", scaled from {prior.members} networks to {members}"
    return speed.cost_s(audio_s, songs), evidence
