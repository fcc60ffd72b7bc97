"""Measuring every bridge that can be used on this machine."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from allin1_core.calibration.measurements import BridgeMeasurement
from allin1_core.contracts.logits import Activations
from allin1_core.contracts.space import HOST, Bridge
from allin1_core.errors import PLUGIN_FAILURES, BackendError, brief
from allin1_core.measuring.stopwatch import best_time
from allin1_core.plugins.collecting import Offered
from allin1_core.runtime.engine import Engine
from allin1_core.runtime.moving import cross
from allin1_core.selection.bridge_network import BridgeNetwork

#: Bytes to move: so few that only the latency counts, and as many as three minutes of spectrogram.
SIZES = (4_096, 1 << 25)


@dataclass(frozen=True)
class BridgeRow:
    """The measurement of a bridge.

    Attributes
    ----------
    bridge
        The bridge as its plugin declares it.
    measurement
        Its cost; None if it could not be measured.
    trouble
        A sentence, if it failed.
    """

    bridge: Bridge
    measurement: BridgeMeasurement | None = None
    trouble: str = ""


def measure_bridges(engine: Engine) -> Iterator[BridgeRow]:
    """Measure the bridges between devices on which backends are ready, one after another."""
    engine.chooser.be_thorough()
    for offered in engine.offers.offered_bridges:
        conditions = engine.prices.conditions_of_bridge(offered)
        if conditions is not None:
            yield measure_bridge(engine, offered, conditions)


def measure_bridge(
    engine: Engine, offered: Offered[Bridge], conditions: dict[str, str]
) -> BridgeRow:
    """Measure one bridge under `conditions`."""
    row = BridgeRow(offered.item)
    try:
        (few, short_s), (many, long_s) = ((n, _seconds(engine, offered.item, n)) for n in SIZES)
    except PLUGIN_FAILURES as error:  # reported in the row; the others are still measured
        reason = error.message if isinstance(error, BackendError) else brief(error)
        return replace(row, trouble=f"It failed: {reason}")
    seconds_per_byte = max(0.0, (long_s - short_s) / (many - few))
    measurement = BridgeMeasurement(
        source=str(offered.item.source),
        destination=str(offered.item.destination),
        target=offered.item.target,
        conditions=conditions,
        latency_s=max(0.0, short_s - few * seconds_per_byte),
        seconds_per_byte=seconds_per_byte,
        date=datetime.date.today().isoformat(),
    )
    return replace(row, measurement=measurement)


def _seconds(engine: Engine, bridge: Bridge, size: int) -> float:
    """Seconds to move `size` bytes over `bridge`.

    Only an array in NumPy shows that a device has finished: a move to a device is timed together with the move to
    NumPy, whose own time is then subtracted.
    """
    network = BridgeNetwork(engine.offers.bridges)
    there, home = network.way(HOST, bridge.source), network.way(bridge.destination, HOST)
    source, destination = (
        engine.devices.ready_at(bridge.source),
        engine.devices.ready_at(bridge.destination),
    )
    assert source is not None, bridge
    assert destination is not None, bridge
    values = np.random.default_rng(0).random(size // 4, dtype=np.float32)
    # Any record with an array is suitable.
    data = cross(Activations(values), there, source.device)
    moved = cross(data, (bridge,), destination.device)
    cross(moved, home, "cpu")

    def move() -> None:
        cross(cross(data, (bridge,), destination.device), home, "cpu")

    return max(0.0, best_time(move) - best_time(lambda: cross(moved, home, "cpu")))
