"""Sides of a comparison: every backend of some stages that this machine can run, and the peers; timed in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from peers import Peer

from allin1_core.contracts.route import USUAL_AUDIO_S, Choice, Route
from allin1_core.contracts.space import HOST, Space
from allin1_core.contracts.stages import STAGES, Stage, Task
from allin1_core.runtime.difference import measure
from allin1_core.runtime.moving import cross
from allin1_core.runtime.session import Session
from allin1_core.selection.bridge_network import BridgeNetwork
from allin1_core.selection.candidate import Candidate
from allin1_core.selection.routing import find_routes


@dataclass
class Row:
    """The measurements of a side.

    Attributes
    ----------
    side, device, is_peer
        Its name, where it runs, and whether it is a peer.
    route
        Backends of all its stages, if it is ours.
    seconds
        Times of all calls that count; empty if there was an error.
    ratios
        For each peer, its best time over this side's.
    differs
        Largest difference from the output of the first peer, or else the reference, or else the first side: of values, or
        in seconds for beats and segments; infinite if their number, positions or labels differ. None for that side itself.
    trouble
        Why there are no times.
    """

    side: str
    device: str
    is_peer: bool = False
    route: str = ""
    seconds: list[float] = field(default_factory=list)
    ratios: dict[str, float] = field(default_factory=dict)
    differs: float | None = None
    trouble: str = ""

    @property
    def best_s(self) -> float:
        """The best time."""
        return min(self.seconds)

    @property
    def median_s(self) -> float:
        """The median time."""
        return statistics.median(self.seconds)


@dataclass
class Side:
    """A backend or peer that can be timed.

    Attributes
    ----------
    row
        Its measurements.
    prepare
        Sets it up and moves its input to its space; returns the function to time.
    record
        Converts its output to a record in NumPy arrays.
    ends_at
        Space of its output.
    output
        Output of the last call.
    """

    row: Row
    prepare: Callable[[], Callable[[], Any]]
    record: Callable[[Any], Any]
    ends_at: Space = HOST
    output: Any = None


def fused(session: Session) -> list[tuple[Stage, ...]]:
    """Groups of stages that a backend on this machine covers."""
    found = set()
    for stage in STAGES[1:]:
        request = replace(session.request((stage,), USUAL_AUDIO_S), choices=())
        for candidate in session.candidates(request)[stage]:
            if candidate.is_eligible and candidate.backend.stages[0] != "demix":
                found.add(candidate.backend.stages)
    return sorted((s for s in found if len(s) > 1), key=lambda s: [STAGES.index(x) for x in s])


def our_sides(
    session: Session, stages: tuple[Stage, ...], data: Any, space: Space, skip: Collection[str]
) -> list[Side]:
    """Create a side for every eligible backend that ends `stages`, sorted by estimated cost.

    Earlier stages are run by the backends that the router chooses for input in `space`.
    """
    request = replace(session.request(stages, data.duration_s, space), choices=())
    sides = []
    for candidate in session.candidates(request)[stages[-1]]:
        backend = candidate.backend
        if (
            not candidate.is_eligible
            or backend.name in skip
            or not set(backend.stages) <= set(stages)
        ):
            continue
        named = replace(request, choices=tuple(Choice(s, backend.name) for s in backend.stages))
        judged = session.candidates(named)
        routes = [
            route
            for route in find_routes(named, judged, BridgeNetwork(session.engine.offers.bridges))
            if route.steps[-1].backend is backend
        ]
        row = Row(backend.name, session.engine.devices.of(candidate))
        if routes:
            chosen = [
                c
                for step in routes[0].steps
                for c in judged[step.backend.stage]
                if c.backend is step.backend
            ]
            sides.append(_our_side(session, row, routes[0], chosen, data))
        else:
            row.trouble = f"No bridge leads to it from {space}."
            sides.append(Side(row, _nothing, _same))
    return sides


def _our_side(
    session: Session, row: Row, route: Route, candidates: Sequence[Candidate], data: Any
) -> Side:
    network = BridgeNetwork(session.engine.offers.bridges)
    first, last = route.steps[0].backend, route.steps[-1].backend
    back = network.between(last.produces, HOST) or ()
    row.route = str(route)

    def prepare() -> Callable[[], Any]:
        calls = [session.engine.backends.callable_of(candidate) for candidate in candidates]
        devices = [session.engine.devices.of(candidate) for candidate in candidates]
        there = network.between(HOST, first.consumes) or ()
        start = cross(data, there, devices[0])

        def run() -> Any:
            value = start
            for number, (step, call) in enumerate(zip(route.steps, calls, strict=True)):
                if number:
                    value = cross(value, step.bridges, devices[number])
                value = call(value, Task())
            waits = [call.synchronize for call in calls if hasattr(call, "synchronize")]
            for wait in waits:
                wait()
            if not waits and back:
                # There is no other way to detect that a device has finished.
                cross(value, back, "cpu")
            return value

        return run

    return Side(row, prepare, lambda output: cross(output, back, "cpu"), last.produces)


def peer_sides(peers: Iterable[Peer], stages: tuple[Stage, ...], data: Any) -> list[Side]:
    """Create a side for every peer that covers exactly these stages."""

    def side(peer: Peer) -> Side:
        def prepare() -> Callable[[], Any]:
            start = peer.prepare(data)
            return lambda: peer.run(start)

        return Side(Row(peer.name, peer.device, is_peer=True), prepare, peer.record)

    return [side(peer) for peer in peers if peer.stages == stages]


def take_turns(sides: Sequence[Side], repeats: int, budget_s: float) -> None:
    """Call each side once to warm up, then `repeats` times in rounds; errors are recorded in its row.

    A side is called at least once after its first call, and not again when the calls that count took `budget_s` in total.
    Without `repeats`, the first call counts.
    """
    calls = [(side, _guarded(side)) for side in sides]
    for _, call in calls:
        call(not repeats)
    for _ in range(repeats):
        for side, call in calls:
            if sum(side.row.seconds) < budget_s:
                call(True)


def _guarded(side: Side) -> Callable[[bool], None]:
    """Return a function that calls `side`, until it has failed; its argument is whether the call counts."""
    prepared: list[Callable[[], Any]] = []

    def call(counts: bool) -> None:
        if side.row.trouble:
            return
        try:
            if not prepared:
                prepared.append(side.prepare())
            began = time.perf_counter()
            side.output = prepared[0]()
            if counts:
                side.row.seconds.append(time.perf_counter() - began)
        except Exception as error:  # record the failure, and continue with the other sides
            side.row.trouble = f"{type(error).__name__}: {error}"

    return call


def compare(sides: Sequence[Side]) -> list[Row]:
    """Compute the ratios of times and the differences of outputs."""
    done = [side for side in sides if not side.row.trouble]
    theirs = [side for side in done if side.row.is_peer]
    references = [side for side in done if side.row.side == "reference"]
    base = (theirs or references or done or [None])[0]
    wanted = base.record(base.output) if base else None
    for side in done:
        side.row.ratios = {peer.row.side: peer.row.best_s / side.row.best_s for peer in theirs}
        if side is not base:
            side.row.differs = measure(wanted, side.record(side.output))
    return [side.row for side in sides]


def _nothing() -> Callable[[], Any]:
    raise AssertionError("a side with trouble is not called")


def _same(output: Any) -> Any:
    return output
