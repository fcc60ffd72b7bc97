"""What was measured of a backend, and of a bridge between two spaces, and under what conditions that holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from allin1_core.calibration.conditions import device_conditions
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.space import Bridge
from allin1_core.contracts.speed import Speed
from allin1_core.contracts.verdict import Ready
from allin1_core.plugins.record import PluginRecord


@dataclass(frozen=True)
class Measurement:
    """What a backend was measured to cost.

    Attributes
    ----------
    stage, backend
        Which backend.
    conditions
        Under what it holds; see :func:`~allin1_core.calibration.conditions.conditions_of`.
    setup_s, rate
        Seconds once, and seconds per second of audio.
    date
        Day, as ``2026-11-22``.
    shape_s
        Seconds for each new length of the input.
    """

    stage: str
    backend: str
    conditions: Mapping[str, str]
    setup_s: float
    rate: float
    date: str
    shape_s: float = 0.0

    @property
    def speed(self) -> Speed:
        """As a speed, whose evidence says when."""
        return Speed(
            self.conditions["device"],
            self.setup_s,
            self.rate,
            f"measured here on {self.date}",
            shape_s=self.shape_s,
        )


@dataclass(frozen=True)
class BridgeMeasurement:
    """What a bridge was measured to cost.

    Attributes
    ----------
    source, destination, target
        Which bridge; spaces as text.
    conditions
        Under what it holds; see :func:`bridge_conditions`.
    latency_s, seconds_per_byte
        Seconds for a transfer of nothing, and for each byte: finite, where a bandwidth need not be.
    date
        Day, as ``2026-11-22``.
    """

    source: str
    destination: str
    target: str
    conditions: Mapping[str, str]
    latency_s: float
    seconds_per_byte: float
    date: str

    @property
    def evidence(self) -> str:
        """Words for what a price by it rests on."""
        return f"measured here on {self.date}"

    def on(self, bridge: Bridge) -> Bridge:
        """Give `bridge` at the measured price."""
        rate = self.seconds_per_byte
        return replace(
            bridge,
            latency_s=self.latency_s,
            bytes_per_second=1 / rate if rate > 0 else float("inf"),
        )


def find_speed(
    measurements: Iterable[Measurement], backend: Backend[Any], conditions: Mapping[str, str]
) -> Speed | None:
    """Look up what was measured of `backend` under exactly these conditions."""
    for one in measurements:
        if (one.stage, one.backend) == (backend.stage, backend.name) and one.conditions == dict(
            conditions
        ):
            return one.speed
    return None


def bridge_conditions(
    bridge: Bridge, plugin: PluginRecord, source: Ready, destination: Ready
) -> dict[str, str]:
    """Tell what a measurement of `bridge` depends on.

    That is the machine, the devices at both ends and what the probes say of them, and the versions of the core, of the
    plugin, and of both array libraries where they are installed under the name that they are imported by.
    """
    libraries = (bridge.source.library, bridge.destination.library)
    devices = " to ".join((source.device, destination.device))
    details = " to ".join((source.detail, destination.detail))
    return device_conditions(Ready(devices, details), plugin, libraries)


def find_bridge(
    measurements: Iterable[BridgeMeasurement], bridge: Bridge, conditions: Mapping[str, str]
) -> BridgeMeasurement | None:
    """Look up what was measured of `bridge` under exactly these conditions."""
    key = (str(bridge.source), str(bridge.destination), bridge.target)
    for one in measurements:
        if (one.source, one.destination, one.target) == key and one.conditions == dict(conditions):
            return one
    return None
