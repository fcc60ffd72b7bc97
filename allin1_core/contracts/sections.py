"""Labelled segments of a song."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

from allin1_core.errors import ContractError


@dataclass(frozen=True)
class Segment:
    """A stretch of a song with one function.

    Attributes
    ----------
    start, end
        Seconds.
    label
        One of :data:`~allin1_core.contracts.logits.HARMONIX_LABELS`, for the models shipped here.
    """

    start: float
    end: float
    label: str


@dataclass(frozen=True)
class Sections:
    """Segments in time order, each starting where the one before it ends."""

    ARRAYS: ClassVar[tuple[str, ...]] = ()

    segments: tuple[Segment, ...]

    def validate(self) -> Sections:
        """Return self, or raise :class:`~allin1_core.errors.ContractError`."""
        if not self.segments:
            raise ContractError("sections.segments is empty; a song has at least one.")
        for segment in self.segments:
            if not segment.start < segment.end:
                raise ContractError(f"Segment {segment} does not end after it starts.")
        for one, next_one in itertools.pairwise(self.segments):
            if one.end != next_one.start:
                raise ContractError(f"Segment {next_one} does not start where {one} ends.")
        return self
