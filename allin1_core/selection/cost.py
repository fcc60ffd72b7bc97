"""What a backend would cost: by a measurement made on this machine, else by the prior that its author shipped."""

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

#: What the price of a bridge rests on where nothing was measured.
PRIOR = "prior"

#: Seconds charged to a backend of unknown speed: it comes after everything known, and still adds up.
UNKNOWN_S = 1e6

#: Bytes per second of audio of what each stage takes, for pricing moves between spaces.
BYTES_PER_SECOND: dict[Stage, float] = {
    "demix": 4.0 * 2 * SAMPLE_RATE,
    "spectrogram": 4.0 * 4 * 2 * SAMPLE_RATE,
    "nn": 4.0 * 4 * BANDS * FRAMES_PER_SECOND,
    "metrical_prep": 4.0 * 13 * FRAMES_PER_SECOND,
    "metrical_dbn": 4.0 * 2 * FRAMES_PER_SECOND,
    "functional": 4.0 * 13 * FRAMES_PER_SECOND,
}


class Prices(Protocol):
    """What is known of the speed of backends and of bridges on this machine."""

    def of_backend(self, backend: Backend[Any], plugin: PluginRecord, ready: Ready) -> Speed | None:
        """What was measured of a backend; None where nothing that still holds was."""
        ...

    def of_bridges(self, spaces: Collection[Space]) -> Mapping[Bridge, str]:
        """Every bridge at its price, with what that rests on; those between `spaces` as they were measured."""
        ...


class Priors:
    """The prices that plugins ship, where nothing was measured."""

    def __init__(self, bridges: Collection[Bridge]) -> None:
        self._bridges = dict.fromkeys(bridges, PRIOR)

    def of_backend(self, backend: Backend[Any], plugin: PluginRecord, ready: Ready) -> None:
        """Know of no measurement."""

    def of_bridges(self, spaces: Collection[Space]) -> Mapping[Bridge, str]:
        """Every bridge, as its plugin declares it."""
        return self._bridges


def estimate(
    backend: Backend[Any],
    audio_s: float,
    measured: Speed | None = None,
    members: int | None = None,
    songs: int = 1,
) -> tuple[float, str]:
    """Seconds that `backend` would take for `audio_s` seconds of audio in so many songs, and what that rests on.

    What was measured here is taken, else the prior for the device that the backend runs on, else its first, in
    proportion to the `members` of the model.
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
