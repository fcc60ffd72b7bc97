"""How far the output of a backend is from that of the reference, and whether it keeps its promise of parity."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allin1_core.contracts.findings import Findings
from allin1_core.contracts.metre import Metre
from allin1_core.contracts.parity import Parity
from allin1_core.contracts.sections import Sections


def keeps_promise(promise: Parity | None, difference: float) -> bool:
    """Whether `difference`, as returned by :func:`measure`, is within `promise`.

    >>> from allin1_core.contracts.parity import IDENTICAL, LOSSY, close
    >>> keeps_promise(close(1e-6), 1e-7), keeps_promise(IDENTICAL, 1e-7)
    (True, False)

    If no bound is promised, the output must still have the shape of the reference's, and no NaN.
    """
    if promise is None or promise.level == "lossy":
        return math.isfinite(difference)
    # The tolerance of an identical promise is 0.
    return difference <= promise.tolerance


def measure(wanted: Any, actual: Any) -> float:
    """Return how far apart two records of the same type are.

    Returns
    -------
    float
        The largest absolute difference of values; for beats and segments, of times in seconds. It is infinite if their
        number, positions or labels differ.
    """
    if isinstance(wanted, Findings):
        if len(wanted.parts) != len(actual.parts):
            return float("inf")
        return max(measure(a, b) for a, b in zip(wanted.parts, actual.parts, strict=True))
    if isinstance(wanted, Sections):
        one, other = wanted.segments, actual.segments
        if [s.label for s in one] != [s.label for s in other]:
            return float("inf")
        ends = [
            max(abs(a.start - b.start), abs(a.end - b.end)) for a, b in zip(one, other, strict=True)
        ]
        return max(ends, default=0.0)
    if isinstance(wanted, Metre):
        if not np.array_equal(wanted.beat_positions, actual.beat_positions):
            return float("inf")
        return largest(wanted.beat_times_s, actual.beat_times_s)
    most = 0.0
    for field in wanted.ARRAYS:
        one, other = getattr(wanted, field), getattr(actual, field)
        if (one is None) != (other is None):
            return float("inf")
        if one is not None:
            most = max(most, largest(one, other))
    return most


def largest(one: Any, other: Any) -> float:
    """The largest absolute difference of two arrays; infinite for NaN and for different shapes."""
    if one.shape != other.shape:
        return float("inf")
    if not one.size:
        return 0.0
    difference = np.abs(one.astype(np.float64) - other.astype(np.float64))
    return float("inf") if np.isnan(difference).any() else float(difference.max())
