"""A backend that could cover a stage, and the verdict on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.verdict import Ready
from allin1_core.plugins.record import PluginRecord
from allin1_core.selection.cost import UNKNOWN_S

#: The checks that a backend must pass, in order: cheap ones first, so that no library is imported for a backend that is
#: excluded anyway.
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
    "bridge",
]


@dataclass(frozen=True)
class Refusal:
    """Why a backend is not eligible.

    Attributes
    ----------
    gate
        The check that excluded it.
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
        The backend, and the plugin that provides it.
    ready
        The device it would use, if it passed the checks.
    refusal
        Why it did not pass, otherwise.
    cost_s
        Estimated seconds for the request; :data:`~allin1_core.selection.cost.UNKNOWN_S` if no speed is known.
    evidence
        What the estimate is based on.
    """

    backend: Backend[Any]
    plugin: PluginRecord
    ready: Ready | None
    refusal: Refusal | None
    cost_s: float
    evidence: str

    @property
    def is_eligible(self) -> bool:
        """Whether it passed every check."""
        return self.refusal is None

    @property
    def has_known_cost(self) -> bool:
        """Whether the cost is an estimate, rather than a placeholder that ranks last."""
        return self.cost_s != UNKNOWN_S
