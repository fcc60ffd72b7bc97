"""Measurements of backends and bridges, with the conditions under which they are valid."""

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
    """The measured cost of a backend.

    Attributes
    ----------
    stage, backend
        Names of the stage and the backend.
    conditions
        Conditions under which it is valid; see :func:`~allin1_core.calibration.conditions.conditions_of`.
    setup_s, rate
        Seconds for the set-up, and seconds per second of audio.
    date
        Date of the measurement, as ``2026-11-22``.
    shape_s
        Additional seconds for each new length of the input.
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
        """The measurement as a speed, whose evidence states the date."""
        return Speed(
            self.conditions["device"],
            self.setup_s,
            self.rate,
            f"measured here on {self.date}",
            shape_s=self.shape_s,
        )


@dataclass(frozen=True)
class BridgeMeasurement:
    """The measured cost of a bridge.

    Attributes
    ----------
    source, destination, target
        The bridge; spaces are given as text.
    conditions
        Conditions under which it is valid; see :func:`bridge_conditions`.
    latency_s, seconds_per_byte
        Seconds for an empty transfer, and for each byte; they are finite, unlike a bandwidth.
    date
        Date of the measurement, as ``2026-11-22``.
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
        """The evidence for a price based on this measurement."""
        return f"measured here on {self.date}"

    def on(self, bridge: Bridge) -> Bridge:
        """Return `bridge` with the measured price."""
        rate = self.seconds_per_byte
        return replace(
            bridge,
            latency_s=self.latency_s,
            bytes_per_second=1 / rate if rate > 0 else float("inf"),
        )


def find_speed(
    measurements: Iterable[Measurement], backend: Backend[Any], conditions: Mapping[str, str]
) -> Speed | None:
    """Look up the speed of `backend` that was measured under exactly these conditions."""
    for one in measurements:
        if (one.stage, one.backend) == (backend.stage, backend.name) and one.conditions == dict(
            conditions
        ):
            return one.speed
    return None


def bridge_conditions(
    bridge: Bridge, plugin: PluginRecord, source: Ready, destination: Ready
) -> dict[str, str]:
    """Return the conditions of a measurement of `bridge`.

    They are the machine, the devices at both ends and what the probes report about them, and the versions of the core,
    of the plugin, and of both array libraries if they are installed under their import names.
    """
    libraries = (bridge.source.library, bridge.destination.library)
    devices = " to ".join((source.device, destination.device))
    details = " to ".join((source.detail, destination.detail))
    return device_conditions(Ready(devices, details), plugin, libraries)


def find_bridge(
    measurements: Iterable[BridgeMeasurement], bridge: Bridge, conditions: Mapping[str, str]
) -> BridgeMeasurement | None:
    """Look up the measurement of `bridge` under exactly these conditions."""
    key = (str(bridge.source), str(bridge.destination), bridge.target)
    for one in measurements:
        if (one.source, one.destination, one.target) == key and one.conditions == dict(conditions):
            return one
    return None
