"""Beats and sections together: the output of a backend that covers both branches."""

from __future__ import annotations

from dataclasses import dataclass

from allin1_core.contracts.logits import Logits
from allin1_core.contracts.metre import Metre
from allin1_core.contracts.sections import Sections


@dataclass(frozen=True, eq=False)
class Findings:
    """The outputs of both branches.

    Attributes
    ----------
    metre
        The beats.
    sections
        The sections.
    logits
        The logits, if the backend computes any: for activations and embeddings on request.
    """

    metre: Metre
    sections: Sections
    logits: Logits | None = None

    @property
    def parts(self) -> tuple[Metre | Sections | Logits, ...]:
        """The records that it contains."""
        return tuple(p for p in (self.metre, self.sections, self.logits) if p is not None)
