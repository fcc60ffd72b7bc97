"""What a person heard in a song."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allin1_core.contracts.sections import Segment


@dataclass(frozen=True, eq=False)
class Reference:
    """Annotations of one song; what was not annotated is None.

    Attributes
    ----------
    beats
        float64 ``[N]``, seconds, rising.
    downbeats
        The same of the beats that begin a bar.
    segments
        Labelled sections in time order. Their labels are those of the file.
    """

    beats: NDArray[np.float64] | None = None
    downbeats: NDArray[np.float64] | None = None
    segments: tuple[Segment, ...] | None = None

    def merged(self, other: Reference) -> Reference:
        """Fill in from `other` what is missing here; songs often have a file for beats and one for sections."""
        return Reference(
            other.beats if self.beats is None else self.beats,
            other.downbeats if self.downbeats is None else self.downbeats,
            other.segments if self.segments is None else self.segments,
        )
