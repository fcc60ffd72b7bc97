"""Annotations of a song."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allin1_core.contracts.sections import Segment


@dataclass(frozen=True, eq=False)
class Reference:
    """Annotations of one song; parts that were not annotated are None.

    Attributes
    ----------
    beats
        float64 ``[N]``, seconds, increasing.
    downbeats
        float64 ``[M]``, seconds, increasing: the beats that start a bar.
    segments
        Labelled sections in time order. Their labels are those of the file.
    """

    beats: NDArray[np.float64] | None = None
    downbeats: NDArray[np.float64] | None = None
    segments: tuple[Segment, ...] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was annotated."""
        return self.beats is None and self.downbeats is None and self.segments is None

    @property
    def is_finite(self) -> bool:
        """Whether all times are finite numbers."""
        times = [part for part in (self.beats, self.downbeats) if part is not None]
        times += [np.array([(s.start, s.end) for s in self.segments or ()])]
        return all(bool(np.isfinite(part).all()) for part in times)

    def merged(self, other: Reference) -> Reference:
        """Fill in missing parts from `other`; songs often have separate files for beats and sections."""
        return Reference(
            other.beats if self.beats is None else self.beats,
            other.downbeats if self.downbeats is None else self.downbeats,
            other.segments if self.segments is None else self.segments,
        )
