"""The analysis window and the triangular filters of the spectrogram.

Published for plugins: other implementations of the spectrogram start from these numbers.

The values are those of madmom 0.17.dev0 (commit 27f032e): a symmetric Hann window, and
``LogarithmicFilterbank(num_bands=12, fmin=30, fmax=17000, norm_filters=True, unique_filters=True)`` over the
bins of a 2048-point transform at 44 100 Hz.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from allin1_core.contracts.audio import SAMPLE_RATE
from allin1_core.contracts.spectrogram import BANDS, WINDOW_SAMPLES

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Bins of the transform that the filters use: from 0 Hz up to, but not including, half the sample rate.
BINS = WINDOW_SAMPLES // 2

BANDS_PER_OCTAVE = 12
MIN_HZ = 30.0
MAX_HZ = 17_000.0
A4_HZ = 440.0


def window() -> NDArray[np.float64]:
    """Return the analysis window.

    Returns
    -------
    ndarray
        float64 ``[2048]``; symmetric, so the first and the last value are 0.
    """
    return np.hanning(WINDOW_SAMPLES)


def filterbank() -> NDArray[np.float32]:
    """Return the filters, each with a sum of 1.

    Returns
    -------
    ndarray
        float32 ``[1024, 81]``: the weight of each bin in each band. Only bins 2 to 777 have weights, and each of the
        first 18 bands consists of a single bin.
    """
    corners = _corner_bins()
    filters = np.zeros((BINS, BANDS), np.float32)
    for band, (left, centre, right) in enumerate(
        zip(corners, corners[1:], corners[2:], strict=False)
    ):
        triangle = np.concatenate(
            [
                np.linspace(0, 1, centre - left, endpoint=False),
                np.linspace(1, 0, right - centre, endpoint=False),
            ]
        ).astype(np.float32)
        # madmom rounds to float32 before it normalises.
        filters[left:right, band] = triangle / triangle.sum()
    return filters


def _corner_bins() -> list[int]:
    """Bins nearest to the semitones in the range, without duplicates: 83 bins, the corners of 81 triangles."""
    first = int(np.floor(np.log2(MIN_HZ / A4_HZ) * BANDS_PER_OCTAVE))
    last = int(np.ceil(np.log2(MAX_HZ / A4_HZ) * BANDS_PER_OCTAVE))
    semitones = A4_HZ * 2.0 ** (np.arange(first, last) / BANDS_PER_OCTAVE)
    semitones = semitones[(semitones >= MIN_HZ) & (semitones <= MAX_HZ)]
    bins_hz = np.arange(BINS) * SAMPLE_RATE / WINDOW_SAMPLES
    above = np.clip(np.searchsorted(bins_hz, semitones), 1, BINS - 1)
    nearer_below = semitones - bins_hz[above - 1] < bins_hz[above] - semitones
    return [int(b) for b in np.unique(above - nearer_below)]
