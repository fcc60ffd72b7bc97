"""The last check: which backends the bridges can move data to, and from."""

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
    """Exclude eligible backends whose input cannot be moved to them, or whose output cannot be moved on.

    An excluded backend may have been the only neighbour of another one, so this is repeated until nothing changes.
    Backends without any neighbour are not excluded here: it is not bridges that they lack.
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
    """Spaces in which the input of `stage` may be located."""
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
    """For each stage that takes records of type `given`, the spaces in which it may do so; NumPy if there is none."""
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
