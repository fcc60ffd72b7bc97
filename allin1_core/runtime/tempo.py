"""Tempo from beats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def estimate_bpm(beat_times_s: NDArray[np.float64]) -> int | None:
    """Take the most frequent rounded tempo between consecutive beats.

    As allin1 1.1.0 does. Among equally frequent tempi the fastest is taken: the original sorts the
    counts and reverses, which leaves the choice to NumPy's sort; a stable sort gives the fastest.

    Parameters
    ----------
    beat_times_s
        ``[N]``, seconds, rising.

    Returns
    -------
    int or None
        Beats per minute; None with fewer than two beats.
    """
    if len(beat_times_s) < 2:
        return None
    tempi = np.round(60.0 / np.diff(beat_times_s)).astype(np.int64)
    counts = np.bincount(tempi)
    return int(np.flatnonzero(counts == counts.max())[-1])
