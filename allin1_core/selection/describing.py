"""Candidates, bridges and promises of parity as text and as plain values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.parity import Parity, promise_text
from allin1_core.contracts.route import RouteRequest
from allin1_core.contracts.space import Bridge
from allin1_core.contracts.stages import Stage
from allin1_core.selection.candidate import Candidate

Candidates = Mapping[Stage, Sequence[Candidate]]


def candidates_lines(
    candidates: Candidates, chosen: Collection[Backend[Any]], *, everything: bool = True
) -> list[str]:
    """Return a line for each stage and each of its candidates; those in `chosen` are marked with a star.

    Without `everything`, candidates that cannot run are only counted, if others can.
    """
    lines: list[str] = []
    for stage, found in candidates.items():
        lines.append(stage)
        shown = [c for c in found if everything or c.is_eligible] or found
        lines += [_line(candidate, candidate.backend in chosen) for candidate in shown]
        if len(shown) < len(found):
            lines.append(f"    ({len(found) - len(shown)} cannot run here)")
        if not found:
            lines.append("    (no plugin provides one)")
    return lines


def candidates_values(
    candidates: Candidates, chosen: Collection[Backend[Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Return the candidates of each stage as values that can be written as JSON."""
    return {
        stage: [_values(candidate, candidate.backend in chosen) for candidate in found]
        for stage, found in candidates.items()
    }


def bridge_price(bridge: Bridge) -> str:
    """Describe the price of a move, in the width of a table column.

    >>> from allin1_core.contracts.space import HOST, Space
    >>> bridge_price(Bridge(HOST, Space("torch", "cuda"), "somewhere:up", 6e9, 5e-5))
    '   0.050 ms +     6.0 GB/s'
    """
    gigabytes = bridge.bytes_per_second / 1e9
    # No memory is this fast: nothing was copied.
    rate = "no copy   " if gigabytes > 10_000 else f"{gigabytes:7.1f} GB/s"
    return f"{bridge.latency_s * 1e3:8.3f} ms + {rate:>12}"


def request_lines(request: RouteRequest) -> list[str]:
    """Describe the request, and what was named."""
    length = f"{request.audio_s / request.songs:.4g} s of audio"
    several = f"{request.songs} songs, each {length}," if request.songs > 1 else length
    asked = f"{several} from {request.start}, parity {parity_text(request.parity)}"
    if request.device is not None:
        asked += f", device {request.device}"
    named = [f"{c.stage}={c.name} ({c.source or 'argument'})" for c in request.choices]
    return [f"asked for  {asked}", *([f"named      {', '.join(named)}"] if named else [])]


def request_values(request: RouteRequest) -> dict[str, Any]:
    """Return the same as values that can be written as JSON."""
    return {
        "audio_s": request.audio_s,
        "songs": request.songs,
        "start": str(request.start),
        "parity": parity_text(request.parity),
        "device": request.device,
        "named": {
            c.stage: {"name": c.name, "source": c.source or "argument"} for c in request.choices
        },
    }


def parity_text(parity: Parity) -> str:
    """Describe a requested parity; without a bound, only its level."""
    return parity.level if parity.tolerance == float("inf") else str(parity)


def _line(candidate: Candidate, is_chosen: bool) -> str:
    backend = candidate.backend
    if candidate.refusal is not None:
        return f"  - {backend.name:<20} {candidate.refusal.gate}: {candidate.refusal}"
    mark = "*" if is_chosen else " "
    device = candidate.ready.device if candidate.ready else ""
    cost = f"{candidate.cost_s:8.2f} s" if candidate.has_known_cost else "        ?  "
    detail = f"{candidate.ready.detail}; " if candidate.ready and candidate.ready.detail else ""
    return (
        f"  {mark} {backend.name:<20} {device:<8} {cost}  {promise_text(backend.parity)}"
        f"  ({detail}{candidate.evidence})"
    )


def _values(candidate: Candidate, is_chosen: bool) -> dict[str, Any]:
    backend, refusal = candidate.backend, candidate.refusal
    return {
        "name": backend.name,
        "plugin": candidate.plugin.name,
        "stages": backend.stages,
        "summary": backend.summary,
        "eligible": candidate.is_eligible,
        "chosen": is_chosen,
        "device": candidate.ready.device if candidate.ready else None,
        "detail": candidate.ready.detail if candidate.ready else None,
        "cost_s": candidate.cost_s if candidate.has_known_cost else None,
        "evidence": candidate.evidence,
        "parity": None if backend.parity is None else str(backend.parity),
        "refusal": None
        if refusal is None
        else {"gate": refusal.gate, "reason": refusal.reason, "remedy": refusal.remedy},
    }
