"""The cheapest ways through the stages.

A node is a stage boundary and the space in which the data lies there. Backends are edges, a backend that
spans stages is a longer edge, and an edge is priced with the bridges that bring its input to it. Choosing
stage by stage would miss that a slower spectrogram beside the network can beat a fast one across the bus.

The stages form a trunk up to the logits and then two branches, the metre and the sections, which both start
where the logits lie.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from allin1_core.contracts.parity import rank_of
from allin1_core.contracts.route import Route, RouteRequest, Step
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.contracts.stages import Stage
from allin1_core.selection.bridge_network import BridgeNetwork
from allin1_core.selection.candidate import Candidate
from allin1_core.selection.cost import BYTES_PER_SECOND

#: Partial routes that are kept at each node; enough for ties, and for a plugin that wants alternatives.
KEPT = 8

#: A backend must be faster by this fraction of its own time to be taken before one of the next stronger parity. It is
#: charged step by step: in a window on the whole route a long stage would hide what a short one loses.
TIE = 0.03

_METRE: tuple[Stage, ...] = ("metrical_prep", "metrical_dbn")
_SECTIONS: tuple[Stage, ...] = ("functional",)


@dataclass(frozen=True)
class _Path:
    """Steps up to a node, what they cost, and the same with the charge for weaker promises."""

    cost_s: float
    charged_s: float
    space: Space
    steps: tuple[Step, ...]

    @property
    def order(self) -> tuple[float, int, tuple[str, ...]]:
        """What paths to one node are sorted by."""
        return (
            self.charged_s,
            sum(len(step.bridges) for step in self.steps),
            tuple(step.backend.name for step in self.steps),
        )

    def extended(
        self, steps: tuple[Step, ...], cost_s: float, charged_s: float, space: Space
    ) -> _Path:
        """Go on from its end."""
        return _Path(self.cost_s + cost_s, self.charged_s + charged_s, space, (*self.steps, *steps))


def find_routes(
    request: RouteRequest,
    candidates: Mapping[Stage, Sequence[Candidate]],
    network: BridgeNetwork,
) -> tuple[Route, ...]:
    """Up to :data:`KEPT` routes, best first; empty if there is none.

    Best is the cheapest, where each weaker promise costs :data:`TIE` of its backend's time more; what is equal then
    goes to fewer bridges, then by name; never by the order of registration.
    """
    trunk = [s for s in request.stages if s not in _METRE + _SECTIONS]
    branches = [[s for s in request.stages if s in branch] for branch in (_METRE, _SECTIONS)]
    branches = [branch for branch in branches if branch]
    if len(branches) == 1:
        # Only one branch: a backend may then span from the trunk into it.
        trunk, branches = [*trunk, *branches[0]], []

    def ends(branch: list[Stage], space: Space) -> list[_Path]:
        last = (branch or trunk)[-1]
        chains = _chain(branch, space, candidates, network, request.audio_s)
        homes = (_bring_home(path, last, network, request.audio_s) for path in chains)
        return [path for path in homes if path is not None]

    whole = []
    for trunk_path in _chain(trunk, request.start, candidates, network, request.audio_s):
        for combination in itertools.product(
            *(ends(b, trunk_path.space) for b in branches or [[]])
        ):
            path = trunk_path
            for end in combination:
                path = path.extended(end.steps, end.cost_s, end.charged_s, end.space)
            whole.append(path)
    best = heapq.nsmallest(KEPT, whole, key=lambda path: path.order)
    return tuple(Route(path.steps, path.cost_s) for path in best)


def _chain(
    stages: Sequence[Stage],
    start: Space,
    candidates: Mapping[Stage, Sequence[Candidate]],
    network: BridgeNetwork,
    audio_s: float,
) -> list[_Path]:
    """The best paths through consecutive `stages`, over every space they can end in."""
    boundaries: list[list[_Path]] = [[] for _ in range(len(stages) + 1)]
    boundaries[0] = [_Path(0.0, 0.0, start, ())]
    for index, stage in enumerate(stages):
        for candidate in candidates[stage]:
            backend = candidate.backend
            span = backend.stages
            if not candidate.is_eligible or backend.stage != stage:
                continue
            if tuple(stages[index : index + len(span)]) != span:
                continue
            for path in boundaries[index]:
                bridges = network.between(path.space, backend.consumes)
                if bridges is None:
                    continue
                cost_s = candidate.cost_s + _price(bridges, stage, audio_s)
                charged_s = cost_s + TIE * rank_of(backend.parity) * candidate.cost_s
                step = Step(backend, candidate.plugin.name, bridges, cost_s)
                boundaries[index + len(span)].append(
                    path.extended((step,), cost_s, charged_s, backend.produces)
                )
        boundaries[index + 1] = _keep_best(boundaries[index + 1])
    return boundaries[-1]


def _keep_best(paths: list[_Path]) -> list[_Path]:
    """The cheapest few of each space."""
    kept: list[_Path] = []
    for space in sorted({path.space for path in paths}):
        here = [path for path in paths if path.space == space]
        kept += heapq.nsmallest(KEPT, here, key=lambda path: path.order)
    return kept


def _bring_home(path: _Path, last: Stage, network: BridgeNetwork, audio_s: float) -> _Path | None:
    """`path` with the way back to NumPy, or None if there is no way.

    It is priced by the input of its last stage, which bounds what that stage gives.
    """
    bridges = network.between(path.space, HOST)
    if bridges is None:
        return None
    price_s = _price(bridges, last, audio_s)
    return path.extended((), price_s, price_s, HOST)


def _price(bridges: tuple[Bridge, ...], stage: Stage, audio_s: float) -> float:
    size = BYTES_PER_SECOND[stage] * audio_s
    return sum(bridge.latency_s + size / bridge.bytes_per_second for bridge in bridges)
