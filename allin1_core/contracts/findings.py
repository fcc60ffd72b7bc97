"""Beats and sections at once: what a backend gives that covers all stages up to both."""

from __future__ import annotations

from dataclasses import dataclass

from allin1_core.contracts.logits import Logits
from allin1_core.contracts.metre import Metre
from allin1_core.contracts.sections import Sections


@dataclass(frozen=True, eq=False)
class Findings:
    """The end of both branches.

    Attributes
    ----------
    metre
        Beats.
    sections
        Sections.
    logits
        Where the backend has any: for activations and embeddings, if a user asks for them.
    """

    metre: Metre
    sections: Sections
    logits: Logits | None = None

    @property
    def parts(self) -> tuple[Metre | Sections | Logits, ...]:
        """The records in it."""
        return tuple(p for p in (self.metre, self.sections, self.logits) if p is not None)
