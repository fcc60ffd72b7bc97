"""The bar-pointer model of one metre, laid out for the compiled recursion."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from allin1_core.contracts.metre import MetreParameters
from allin1_core.reference.bar_pointer import BarPointerModel, bar_pointer_model

#: Doubles in a cache line; rows are whole multiples of it (BP_ROUND of kernel/bar_pointer.h).
LINE = 8

#: Number of frames that the recursion advances at once, if the shortest interval is at least as long: three of the
#: widest vectors for each of four beats are accumulated in registers.
BLOCK = 24


@dataclass(frozen=True, eq=False)
class MetreTables:
    """One metre.

    A *lane* is one beat of the bar at one interval; lanes are numbered beat by beat.

    Attributes
    ----------
    beats
        Beats in a bar.
    intervals
        int32 ``[I]``: frames per beat, increasing.
    zones
        int32 ``[beats, I]``: number of states at the start of a lane that observe a beat or downbeat.
    log_transition
        float64 ``[I to, I from]``: log probability of a change of interval between two beats.
    first_source, end_source
        int32 ``[I]``: range of ``from`` outside of which `log_transition` is minus infinity.
    log_initial
        Log probability of each state before the first frame.
    initial_gains, final_gains
        float64 ``[I, longest]``, as in :class:`~allin1_core.reference.bar_pointer.BarPointerModel`; None without a
        prior over tempo.
    """

    beats: int
    intervals: NDArray[np.int32]
    zones: NDArray[np.int32]
    log_transition: NDArray[np.float64]
    first_source: NDArray[np.int32]
    end_source: NDArray[np.int32]
    log_initial: float
    initial_gains: NDArray[np.float64] | None
    final_gains: NDArray[np.float64] | None

    @property
    def lanes(self) -> int:
        """Number of lanes."""
        return self.beats * len(self.intervals)

    @property
    def block(self) -> int:
        """Number of frames advanced at once: at most an interval, as exits depend on the entries one interval before."""
        return min(BLOCK, int(self.intervals[0]))

    @property
    def width(self) -> int:
        """Number of doubles in a row of exits: a block, in whole cache lines."""
        return -(-self.block // LINE) * LINE

    @property
    def padding(self) -> int:
        """Number of zeros that the recursion needs on either side of the densities."""
        return int(self.intervals[-1]) + self.width

    @property
    def ring(self) -> int:
        """Number of frames of entries that are kept: the longest interval and the current block."""
        return -(-(int(self.intervals[-1]) + self.block + self.width) // self.block) * self.block

    @property
    def ring_row(self) -> int:
        """Number of doubles in a row of entries: an odd number of cache lines, so that rows use all cache sets."""
        return (-(-(self.ring + self.width) // LINE) | 1) * LINE

    @property
    def end_row(self) -> int:
        """Number of doubles in a row of the last frame's scores: the longest interval, rounded up to blocks."""
        return (int(self.intervals[-1]) - 1) // self.block * self.block + self.width


@lru_cache(maxsize=16)
def build(
    parameters: MetreParameters, frames_per_second: float
) -> tuple[BarPointerModel, tuple[MetreTables, ...]]:
    """Return the models and tables of all metres; the most recent ones are cached.

    Raises
    ------
    allin1_core.errors.ContractError
        The frames are too far apart for the highest tempo.
    """
    model = bar_pointer_model(parameters, frames_per_second)
    possible = model.log_transition > -np.inf
    intervals = model.intervals.astype(np.int32)
    first_source = np.argmax(possible, axis=1).astype(np.int32)
    end_source = (len(intervals) - np.argmax(possible[:, ::-1], axis=1)).astype(np.int32)
    return model, tuple(
        MetreTables(
            beats=beats,
            intervals=intervals,
            zones=np.ascontiguousarray(model.zone_frames[:beats], np.int32),
            log_transition=model.log_transition,
            first_source=first_source,
            end_source=end_source,
            log_initial=float(log_initial),
            initial_gains=model.initial_gains,
            final_gains=model.final_gains,
        )
        for beats, log_initial in zip(model.beats_per_bar, model.log_initial, strict=True)
    )
