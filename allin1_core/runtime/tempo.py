"""The tempo from beats: the original's whole number, and a line fitted to the beats, for mixing songs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from allin1_core.contracts.result import Tempo

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: A tempo is steady if at least this share of the beats is within this many seconds of a single line.
STEADY_SHARE, STEADY_S = 0.95, 0.035

#: Number of beats on either side that determine the tempo at a beat, if the tempo is not steady.
_CURVE_REACH = 4

#: Number of standard deviations beyond which Tukey's weight is 0; 95 % efficiency for normal errors.
_TUKEY = 4.685


def estimate_bpm(beat_times_s: NDArray[np.float64]) -> int | None:
    """Return the most frequent rounded tempo between consecutive beats, like allin1 1.1.0.

    Among equally frequent tempi, the fastest is returned: the original sorts the counts and reverses them, which leaves
    the choice to NumPy's sort; a stable sort results in the fastest.

    Parameters
    ----------
    beat_times_s
        ``[N]``, in seconds, increasing.

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


def fit_tempo(beat_times_s: NDArray[np.float64]) -> Tempo | None:
    """Fit a line to the beats that is robust to rounding to frames and to a few wrong beats.

    Beats are numbered by the local interval, so that a missed beat leaves a gap in the numbers, and a surplus one adds
    none. The line minimises Tukey's biweight of the residuals, starting from the median of the slopes of pairs.

    Parameters
    ----------
    beat_times_s
        ``[N]``, in seconds, increasing.

    Returns
    -------
    Tempo or None
        The tempo; None with fewer than two beats.
    """
    times = np.asarray(beat_times_s, np.float64)
    if len(times) < 2:
        return None
    counts = _count(times)
    start, period = _robust_line(counts, times)
    residuals = times - (start + period * counts)
    is_steady = bool(np.mean(np.abs(residuals) <= STEADY_S) >= STEADY_SHARE)
    return Tempo(
        bpm=60.0 / period,
        first_beat=float(start),
        residual=float(np.median(np.abs(residuals))),
        is_steady=is_steady,
        curve=None if is_steady else _curve(counts, times),
    )


def _count(times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Number of each beat, from 0, determined by the median of the intervals around it."""
    intervals = np.diff(times)
    padded = np.pad(intervals, 4, mode="edge")
    local = np.median(np.lib.stride_tricks.sliding_window_view(padded, 9), axis=1)
    # Two beats instead of one have the same number.
    return np.concatenate([[0], np.cumsum(np.rint(intervals / local))]).astype(np.int64)


def _robust_line(counts: NDArray[np.int64], times: NDArray[np.float64]) -> tuple[float, float]:
    """Value at 0 and slope of a line fitted to the beats."""
    half = len(times) // 2
    steps = counts[half:] - counts[: len(counts) - half]
    slopes = (times[half:] - times[: len(times) - half])[steps > 0] / steps[steps > 0]
    period = float(np.median(slopes)) if len(slopes) else float(np.median(np.diff(times)))
    start = float(np.median(times - period * counts))
    for _ in range(30):
        residuals = times - (start + period * counts)
        # At least the effect of rounding to frames of 10 ms.
        scale = max(1.4826 * float(np.median(np.abs(residuals))), 0.003)
        weights = np.clip(1 - (residuals / (_TUKEY * scale)) ** 2, 0, None) ** 2
        total = weights.sum()
        centre, middle = (weights @ counts) / total, (weights @ times) / total
        spread = weights @ (counts - centre) ** 2
        if spread == 0:
            break
        slope = float(weights @ ((counts - centre) * (times - middle)) / spread)
        moved = abs(slope - period) * counts[-1]
        period, start = slope, float(middle - slope * centre)
        if moved < 1e-6:
            break
    return start, period


def _curve(counts: NDArray[np.int64], times: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Time in seconds and tempo at each beat, over the beats around it."""
    curve = []
    for i, time in enumerate(times):
        first, last = max(0, i - _CURVE_REACH), min(len(times) - 1, i + _CURVE_REACH)
        beats = int(counts[last] - counts[first])
        if beats > 0:
            curve.append((float(time), float(60 * beats / (times[last] - times[first]))))
    return curve
