"""The route that was chosen, and why all others were not; as text and as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.route import Route, RouteRequest
from allin1_core.contracts.space import Bridge
from allin1_core.contracts.stages import Stage
from allin1_core.selection.bridge_network import BridgeNetwork
from allin1_core.selection.candidate import Candidate
from allin1_core.selection.describing import (
    bridge_price,
    candidates_lines,
    candidates_values,
    request_lines,
    request_values,
)


@dataclass(frozen=True)
class Decision:
    """A route, with everything that was considered; as a string, it explains the choice.

    Attributes
    ----------
    request
        The request.
    candidates
        For each stage, every backend that covers it, the eligible ones first, cheapest first.
    routes
        The best routes, sorted from best to worst.
    chosen
        The route that will run.
    decided_by
        ``auto``, or the plugin whose hook chose.
    network
        The bridges with which the routes were priced; the run uses the same.
    bridges
        Bridges between the spaces of the candidates, at the price that was used, and the source of that price.
    """

    request: RouteRequest
    candidates: dict[Stage, tuple[Candidate, ...]]
    routes: tuple[Route, ...]
    chosen: Route
    decided_by: str
    network: BridgeNetwork
    bridges: Mapping[Bridge, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.describe()

    @property
    def _estimate(self) -> str:
        """Text for the cost, which is unknown if the speed of a backend is."""
        unknown = [
            f"{step.backend.stage}={step.backend.name}"
            for step in self.chosen.steps
            if not self.candidate(step.backend).has_known_cost
        ]
        if unknown:
            return (
                f"unknown, like the speed of {', '.join(unknown)}; measure it: allin1 bench --save"
            )
        return f"{self.chosen.cost_s:.2f} s, including moves of arrays"

    def describe(self, *, everything: bool = True) -> str:
        """Explain the decision; without `everything`, backends that cannot run and prices of moves are omitted."""
        lines = [
            *request_lines(self.request),
            f"route      {self.chosen}",
            f"chosen by  {self.decided_by}",
            f"estimate   {self._estimate}",
        ]
        lines += [
            f"move       {bridge.source} to {bridge.destination}, before {step.backend.stage}"
            for step in self.chosen.steps
            for bridge in step.bridges
        ]
        chosen = [step.backend for step in self.chosen.steps]
        lines += ["", *candidates_lines(self.candidates, chosen, everything=everything)]
        if self.bridges and everything:
            lines.append("moves of arrays")
            lines += [
                f"    {f'{bridge.source} to {bridge.destination}':<28} {bridge_price(bridge)}  ({evidence})"
                for bridge, evidence in self.bridges.items()
            ]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return everything as values that can be written as JSON."""
        return {
            **request_values(self.request),
            "route": [
                {
                    "stages": step.backend.stages,
                    "backend": step.backend.name,
                    "plugin": step.plugin,
                    "cost_s": step.cost_s,
                    "moves": [f"{b.source} to {b.destination}" for b in step.bridges],
                }
                for step in self.chosen.steps
            ],
            "cost_s": self.chosen.cost_s,
            "decided_by": self.decided_by,
            "stages": candidates_values(
                self.candidates, [step.backend for step in self.chosen.steps]
            ),
            "bridges": [
                {
                    "source": str(bridge.source),
                    "destination": str(bridge.destination),
                    "latency_s": bridge.latency_s,
                    # JSON has no infinity.
                    "seconds_per_byte": 1 / bridge.bytes_per_second,
                    "evidence": evidence,
                }
                for bridge, evidence in self.bridges.items()
            ],
        }

    def candidate(self, backend: Backend[Any]) -> Candidate:
        """Return the candidate for `backend`."""
        # A backend of both branches may begin with a stage that is not requested.
        judged = (c for found in self.candidates.values() for c in found)
        return next(c for c in judged if c.backend is backend)
