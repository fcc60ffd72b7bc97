"""Labelled segments of a song."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import ClassVar

from allin1_core.contracts.arrays import PROBABILITY_ROUNDING
from allin1_core.errors import ContractError


@dataclass(frozen=True)
class Segment:
    """A part of a song with a single label.

    Attributes
    ----------
    start, end
        Times in seconds.
    label
        One of the labels of the model; :data:`~allin1_core.contracts.logits.HARMONIX_LABELS` for those of this package.
    """

    start: float
    end: float
    label: str


@dataclass(frozen=True)
class Sections:
    """Segments in time order, each of which starts where the previous one ends.

    Two objects are equal if their segments are.

    Attributes
    ----------
    segments
        The segments.
    boundary_strengths
        Probability, 0 to 1, of a boundary at the start of each segment except the first; None if the backend provides
        none.
    label_probabilities
        Mean probability of each label over each segment, in the order of the labels of the model; None if the backend
        provides none.
    """

    ARRAYS: ClassVar[tuple[str, ...]] = ()

    segments: tuple[Segment, ...]
    boundary_strengths: tuple[float, ...] | None = field(default=None, compare=False)
    label_probabilities: tuple[tuple[float, ...], ...] | None = field(default=None, compare=False)

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
        strengths, labels = self.boundary_strengths, self.label_probabilities
        if strengths is not None and len(strengths) != len(self.segments) - 1:
            raise ContractError(
                f"sections.boundary_strengths has {len(strengths)} values for {len(self.segments)} segments."
            )
        if labels is not None and len(labels) != len(self.segments):
            raise ContractError(
                f"sections.label_probabilities has {len(labels)} rows for {len(self.segments)} segments."
            )
        if labels is not None and len({len(row) for row in labels}) != 1:
            raise ContractError("sections.label_probabilities has rows of different lengths.")
        for name, values in (
            ("boundary_strengths", strengths or ()),
            ("label_probabilities", itertools.chain.from_iterable(labels or ())),
        ):
            for value in values:
                if not -PROBABILITY_ROUNDING <= value <= 1 + PROBABILITY_ROUNDING:
                    raise ContractError(f"sections.{name} holds {value:g}; wanted 0 to 1.")
        return self
