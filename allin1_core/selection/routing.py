"""The cheapest routes through the stages.

A node is a boundary between stages and the space in which the data is located there. Backends are edges; a backend that
spans stages is a longer edge. The price of an edge includes the bridges that move its input to it. Choosing stage by
stage would miss that a slower spectrogram on the device of the network can be better than a fast one on another device.

The stages form a trunk up to the logits, and then two branches, metre and sections, which both start at the logits. A
backend may also cover both branches at once, and stages of the trunk before them.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.parity import rank_of
from allin1_core.contracts.route import Route, RouteRequest, Step
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.contracts.stages import BOTH_BRANCHES, Stage, covers_both
from allin1_core.selection.bridge_network import BridgeNetwork
from allin1_core.selection.candidate import Candidate
from allin1_core.selection.cost import BYTES_PER_SECOND

#: Number of partial routes of each kind to keep at each node; enough for ties, and for plugins that want alternatives.
KEPT = 8

#: Fraction of its own time by which a backend must be faster to be preferred to one with the next stronger parity. It
#: is charged for each step: applied to the whole route, a long stage would hide what a short one loses.
TIE = 0.03

_METRE: tuple[Stage, ...] = ("metrical_prep", "metrical_dbn")
_SECTIONS: tuple[Stage, ...] = ("functional",)


@dataclass(frozen=True)
class _Path:
    """Steps up to a node, their cost, and the cost including the charge for weaker promises.

    If the last step processed the song in blocks, which are joined in NumPy, the path continues from there. If it is a
    separation, `streams` states whether the next step must be, or must not be, a spectrogram that streams with it.
    Later steps need not start what was started for an earlier one.
    """

    cost_s: float
    charged_s: float
    space: Space
    steps: tuple[Step, ...]
    in_blocks: bool = False
    streams: bool | None = None
    started: frozenset[str] = frozenset()

    @property
    def order(self) -> tuple[float, int, tuple[str, ...]]:
        """Sort key of paths to the same node."""
        return (
            self.charged_s,
            sum(len(step.bridges) for step in self.steps),
            tuple(step.backend.name for step in self.steps),
        )

    def extended(
        self,
        steps: tuple[Step, ...],
        cost_s: float,
        charged_s: float,
        space: Space,
        *,
        in_blocks: bool = False,
        streams: bool | None = None,
        started: frozenset[str] = frozenset(),
    ) -> _Path:
        """Continue from the end of the path."""
        return _Path(
            self.cost_s + cost_s,
            self.charged_s + charged_s,
            space,
            (*self.steps, *steps),
            in_blocks,
            streams,
            self.started | started,
        )


def find_routes(
    request: RouteRequest,
    candidates: Mapping[Stage, Sequence[Candidate]],
    network: BridgeNetwork,
) -> tuple[Route, ...]:
    """Return up to :data:`KEPT` routes, sorted from best to worst; empty if there is none.

    The best route is the cheapest, where each weaker promise is charged :data:`TIE` of its backend's time. Ties are
    resolved by the number of bridges, then by name, and never by the order of registration.
    """
    trunk = [s for s in request.stages if s not in _METRE + _SECTIONS]
    branches = [[s for s in request.stages if s in branch] for branch in (_METRE, _SECTIONS)]
    branches = [branch for branch in branches if branch]
    whole = _both_at_once(request, trunk, candidates, network)
    candidates = {
        stage: [one for one in found if not covers_both(one.backend.stages)]
        for stage, found in candidates.items()
    }
    if len(branches) == 1:
        # With a single branch, a backend may span from the trunk into it.
        trunk, branches = [*trunk, *branches[0]], []

    def ends(branch: list[Stage], before: _Path, started: frozenset[str]) -> list[_Path]:
        last = (branch or trunk)[-1]
        start = _Path(0.0, 0.0, before.space, (), before.in_blocks, started=started)
        chains = _chain(branch, start, candidates, network, request)
        homes = (_bring_home(path, last, network, request.audio_s) for path in chains)
        return [path for path in homes if path is not None]

    for trunk_path in _chain(
        trunk, _Path(0.0, 0.0, request.start, ()), candidates, network, request
    ):
        paths = [trunk_path]
        for branch in branches or [[]]:
            # From the end of the trunk, with what the previous branches have started.
            after = {s: ends(branch, trunk_path, s) for s in {path.started for path in paths}}
            paths = [
                path.extended(end.steps, end.cost_s, end.charged_s, end.space, started=end.started)
                for path in paths
                for end in after[path.started]
            ]
        whole += paths
    best = heapq.nsmallest(KEPT, whole, key=lambda path: path.order)
    return tuple(Route(path.steps, path.cost_s) for path in best)


def _both_at_once(
    request: RouteRequest,
    trunk: Sequence[Stage],
    candidates: Mapping[Stage, Sequence[Candidate]],
    network: BridgeNetwork,
) -> list[_Path]:
    """The best paths that end in a backend of both branches, one of which may not be requested."""
    wanted = tuple(stage for stage in BOTH_BRANCHES if stage in request.stages)
    if wanted not in (BOTH_BRANCHES, _METRE, _SECTIONS):
        return []  # such a backend returns no records from within a branch
    stages = [*trunk, *wanted]
    fitting = {
        stage: [
            candidate
            for candidate in candidates[stage]
            if covers_both(candidate.backend.stages)
            or not set(candidate.backend.stages) & set(BOTH_BRANCHES)
        ]
        for stage in stages
    }
    start = _Path(0.0, 0.0, request.start, ())
    chains = _chain(stages, start, fitting, network, request)
    homes = (_bring_home(path, stages[-1], network, request.audio_s) for path in chains)
    return [path for path in homes if path is not None]


def _chain(
    stages: Sequence[Stage],
    start: _Path,
    candidates: Mapping[Stage, Sequence[Candidate]],
    network: BridgeNetwork,
    request: RouteRequest,
) -> list[_Path]:
    """The best paths through consecutive `stages`, for every space in which they can end."""
    boundaries: list[list[_Path]] = [[] for _ in range(len(stages) + 1)]
    boundaries[0] = [start]
    for index, stage in enumerate(stages):
        for candidate in candidates[stage]:
            backend = candidate.backend
            span = backend.stages
            if covers_both(span):  # one of the two branches may not be requested
                span = tuple(s for s in span if s in stages or s not in BOTH_BRANCHES)
            if not candidate.is_eligible or span[0] != stage:
                continue
            if tuple(stages[index : index + len(span)]) != span:
                continue
            for path in boundaries[index]:
                if path.streams is not None and path.streams != (span == ("spectrogram",)):
                    continue
                for in_blocks, streams in _ways_through(backend, stages[index + 1 :], request):
                    in_blocks = in_blocks or bool(path.streams)
                    bridges = _bridges(path, backend.consumes, network, in_blocks)
                    if bridges is None:
                        continue
                    start_s, started = _start_ups(candidate, path.started)
                    cost_s = candidate.cost_s + start_s
                    cost_s += _price(bridges, stage, request.audio_s)
                    charged_s = cost_s + TIE * rank_of(backend.parity) * candidate.cost_s
                    step = Step(backend, candidate.plugin.name, bridges, cost_s)
                    boundaries[index + len(span)].append(
                        path.extended(
                            (step,),
                            cost_s,
                            charged_s,
                            backend.produces,
                            in_blocks=in_blocks,
                            streams=streams,
                            started=started,
                        )
                    )
        boundaries[index + 1] = _keep_best(boundaries[index + 1])
    return boundaries[-1]


def _start_ups(candidate: Candidate, started: frozenset[str]) -> tuple[float, frozenset[str]]:
    """Seconds to start what a backend needs and no step before it has started, and the names of these start-ups."""
    new = {} if candidate.ready is None else {s.name: s.seconds for s in candidate.ready.start_ups}
    new = {name: seconds for name, seconds in new.items() if name not in started}
    return sum(new.values()), frozenset(new)


def _ways_through(
    backend: Backend[Any], following: Sequence[Stage], request: RouteRequest
) -> list[tuple[bool, bool | None]]:
    """Whether a backend processes the song in blocks, and whether the next step must, or must not, do so as well."""
    is_alone = len(backend.stages) == 1 and backend.stage in request.in_blocks
    if backend.stage != "demix":
        return [(is_alone, None)]
    if is_alone and backend.streams and following[:1] == ["spectrogram"]:
        return [(True, True), (False, False)]
    return [(False, None)]


def _bridges(
    path: _Path, destination: Space, network: BridgeNetwork, in_blocks: bool
) -> tuple[Bridge, ...] | None:
    """The bridges to the next step, through NumPy if blocks are split or joined there; None if there are none."""
    if not (in_blocks or path.in_blocks):
        return network.between(path.space, destination)
    home, on = network.between(path.space, HOST), network.between(HOST, destination)
    return None if home is None or on is None else (*home, *on)


def _keep_best(paths: list[_Path]) -> list[_Path]:
    """The cheapest paths of each kind of end."""
    ends: dict[object, list[_Path]] = {}
    for path in sorted(paths, key=lambda path: path.order):
        kind = (path.space, path.in_blocks, path.streams, path.started)
        ends.setdefault(kind, []).append(path)
    return [path for here in ends.values() for path in here[:KEPT]]


def _bring_home(path: _Path, last: Stage, network: BridgeNetwork, audio_s: float) -> _Path | None:
    """`path` extended to NumPy, or None if no bridge leads there.

    The price is that of the input of its last stage, which is an upper bound for its output.
    """
    bridges = network.between(path.space, HOST)
    if bridges is None:
        return None
    price_s = _price(bridges, last, audio_s)
    return path.extended((), price_s, price_s, HOST)


def _price(bridges: tuple[Bridge, ...], stage: Stage, audio_s: float) -> float:
    size = BYTES_PER_SECOND[stage] * audio_s
    return sum(bridge.latency_s + size / bridge.bytes_per_second for bridge in bridges)
