"""The last gate: which backends the bridges can bring data to, and on from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from allin1_core.contracts.route import RouteRequest
from allin1_core.contracts.space import HOST, Space
from allin1_core.contracts.stages import GIVES, TAKES, Stage, covers_both, given_by
from allin1_core.selection.bridge_network import BridgeNetwork
from allin1_core.selection.candidate import Candidate, Refusal

Candidates = Mapping[Stage, tuple[Candidate, ...]]


def refuse_unreachable(
    request: RouteRequest, candidates: Candidates, network: BridgeNetwork
) -> dict[Stage, tuple[Candidate, ...]]:
    """Refuse each eligible backend whose input no bridge brings to it, or whose output none brings on.

    A backend that is refused may have been the only neighbour of another, so this goes on until nothing changes. What
    has no neighbour at all is left to others: bridges are not what it lacks.
    """
    judged = dict(candidates)
    while True:
        before = judged
        judged = {
            stage: tuple(_judged(candidate, request, before, network) for candidate in found)
            for stage, found in before.items()
        }
        if judged == before:
            return judged


def _judged(
    candidate: Candidate, request: RouteRequest, candidates: Candidates, network: BridgeNetwork
) -> Candidate:
    backend = candidate.backend
    if not candidate.is_eligible or backend.stage not in request.stages:
        return candidate
    reason = ""
    sources = _spaces_before(backend.stage, request, candidates)
    if sources and all(network.between(space, backend.consumes) is None for space in sources):
        reason = f"No bridge leads from {_words(sources)} to {backend.consumes}."
    for destinations in _spaces_after(given_by(backend.stages), request, candidates):
        if destinations and all(
            network.between(backend.produces, space) is None for space in destinations
        ):
            reason = reason or f"No bridge leads from {backend.produces} to {_words(destinations)}."
    if not reason:
        return candidate
    return replace(candidate, ready=None, refusal=Refusal("bridge", reason))


def _spaces_before(stage: Stage, request: RouteRequest, candidates: Candidates) -> list[Space]:
    """Where what `stage` takes may lie."""
    giving = [one for one in request.stages if GIVES[one] is TAKES[stage]]
    if not giving:
        return [request.start]
    return _distinct(
        c.backend.produces
        for one in giving
        for c in candidates[one]
        if c.is_eligible and c.backend.stages[-1] == one and not covers_both(c.backend.stages)
    )


def _spaces_after(
    given: type[Any], request: RouteRequest, candidates: Candidates
) -> Iterable[list[Space]]:
    """Where each stage that takes a record of type `given` may want it; NumPy, where none follows."""
    taking = [one for one in request.stages if TAKES[one] is given]
    if not taking:
        yield [HOST]
    for one in taking:
        yield _distinct(
            c.backend.consumes for c in candidates[one] if c.is_eligible and c.backend.stage == one
        )


def _distinct(spaces: Iterable[Space]) -> list[Space]:
    return sorted(set(spaces))


def _words(spaces: Iterable[Space]) -> str:
    return " or ".join(map(str, spaces))
