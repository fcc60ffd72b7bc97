"""What was chosen, and why everything else was not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.route import Route, RouteRequest
from allin1_core.contracts.space import Bridge
from allin1_core.contracts.stages import Stage
from allin1_core.contracts.verdict import Ready
from allin1_core.plugins.record import PluginRecord
from allin1_core.selection.cost import UNKNOWN_S
from allin1_core.selection.describing import decision_text, decision_values

#: The gates that a backend must pass, in the order in which they are tried: the cheap ones first, so
#: that no library is imported for a backend that is out anyway.
Gate = Literal[
    "failed",
    "api",
    "choice",
    "opt-in",
    "model",
    "feature",
    "parity",
    "needs",
    "device",
    "probe",
]


@dataclass(frozen=True)
class Refusal:
    """Why a backend is not eligible.

    Attributes
    ----------
    gate
        Which gate refused it.
    reason, remedy
        Sentences; the remedy may be empty.
    """

    gate: Gate
    reason: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.reason} {self.remedy}".strip()


@dataclass(frozen=True)
class Candidate:
    """A backend that could cover a stage, with the verdict on it.

    Attributes
    ----------
    backend, plugin
        What it is and who offers it.
    ready
        The device it would use, if it passed the gates.
    refusal
        Why it did not.
    cost_s
        Estimated seconds for the request; :data:`~allin1_core.selection.cost.UNKNOWN_S` where no speed is known.
    evidence
        What the estimate rests on.
    """

    backend: Backend[Any]
    plugin: PluginRecord
    ready: Ready | None
    refusal: Refusal | None
    cost_s: float
    evidence: str

    @property
    def is_eligible(self) -> bool:
        """Whether it passed every gate."""
        return self.refusal is None

    @property
    def has_known_cost(self) -> bool:
        """Whether the cost is an estimate, and not just "after all others"."""
        return self.cost_s != UNKNOWN_S


@dataclass(frozen=True)
class Decision:
    """A route, with everything that was considered. Its text explains it.

    Attributes
    ----------
    request
        What was asked for.
    candidates
        For each stage, every backend that covers it, the eligible ones first, cheapest first.
    routes
        The best routes, the best first.
    chosen
        The one that will run.
    decided_by
        ``auto``, or the plugin whose hook chose.
    sources
        Where the choices of the request came from, for stages not named by an argument: ``ALLIN1_BACKEND``, or
        the path of the configuration file.
    bridges
        Those between the spaces of the candidates, at the price that was counted, and what that rests on.
    """

    request: RouteRequest
    candidates: dict[Stage, tuple[Candidate, ...]]
    routes: tuple[Route, ...]
    chosen: Route
    decided_by: str
    sources: Mapping[Stage, str] = field(default_factory=dict)
    bridges: Mapping[Bridge, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return decision_text(self)

    def to_json(self) -> dict[str, Any]:
        """Give everything as values that JSON has."""
        return decision_values(self)

    def candidate(self, backend: Backend[Any]) -> Candidate:
        """Look up the verdict on `backend`."""
        return next(c for c in self.candidates[backend.stage] if c.backend is backend)
