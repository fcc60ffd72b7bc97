"""Tables for the compiled spectrogram, computed from the core's window and filters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allin1_core.reference.filterbank import filterbank, window

#: Points of the complex transform on either side; SP_SIDE of kernel/spectrogram.h.
SIDE = 32

#: Factor of the spectrum, compensated by the weights of the bands. Squares are rounded to single precision before the
#: square root; this increases their largest magnitude from 1e19 to 6e26. A power of two, so that no other value changes.
SCALE = 2.0**-25


@dataclass(frozen=True, eq=False)
class Tables:
    """Window, roots of unity, and bands, as described in kernel/spectrogram.h.

    Attributes
    ----------
    window
        float64 ``[2048]``.
    within_side, between_sides, halves
        float64 ``[8, 4, 2]``, ``[32, 32, 2]`` and ``[1024, 2]``.
    starts, lengths
        int32 ``[81]``: first bin and number of bins of each band.
    weights
        float32: weights of the bins of all bands, concatenated.
    """

    window: NDArray[np.float64]
    within_side: NDArray[np.float64]
    between_sides: NDArray[np.float64]
    halves: NDArray[np.float64]
    starts: NDArray[np.int32]
    lengths: NDArray[np.int32]
    weights: NDArray[np.float32]


def tables() -> Tables:
    """Compute the tables."""
    filters = filterbank()
    used = [np.flatnonzero(band) for band in filters.T]
    starts = np.array([bins[0] for bins in used], np.int32)
    lengths = np.array([bins[-1] + 1 - bins[0] for bins in used], np.int32)
    weights = [
        band[start : start + length]
        for band, start, length in zip(filters.T, starts, lengths, strict=True)
    ]
    side = np.arange(SIDE)
    return Tables(
        window=window() * (SCALE / 2),
        within_side=_roots(np.outer(np.arange(8), np.arange(4)), SIDE),
        between_sides=_roots(np.outer(side, side), SIDE**2),
        halves=_roots(np.arange(SIDE**2), 2 * SIDE**2),
        starts=starts,
        lengths=lengths,
        weights=np.concatenate(weights) / np.float32(SCALE),
    )


def _roots(powers: NDArray[np.int64], order: int) -> NDArray[np.float64]:
    """exp(-2 pi i power / order), real and imaginary part on a last axis."""
    angles = -2 * np.pi / order * powers
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)
