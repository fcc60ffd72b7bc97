"""The four views of a mix that replace the stems: mid, side, percussive and harmonic.

Each is log10(1 + x) of 81 bands at 100 frames per second. Harmonic is the median over 0.31 s of
every band of mid (the median commutes with the logarithm); percussive is the excess over it.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft
from scipy.ndimage import median_filter

RATE, HOP, WINDOW, BANDS, REACH = 44100, 441, 2048, 81, 15

Spectrogram = NDArray[np.float32]


@lru_cache(1)
def _tables() -> tuple[Spectrogram, list[tuple[slice, slice, Spectrogram]]]:
    """Window, and the triangular filters in four groups: bins (from the third), bands, weights."""
    bins = np.arange(1024) * RATE / WINDOW
    lowest, highest = (np.log2(x / 440) * 12 for x in (30, 17000))
    f = 440 * 2 ** (np.arange(np.floor(lowest), np.ceil(highest)) / 12)
    f = f[(f >= 30) & (f <= 17000)]
    i = np.clip(np.searchsorted(bins, f), 1, 1023)
    edges = np.unique(i - (f - bins[i - 1] < bins[i] - f))
    bank = np.zeros((1024, BANDS), np.float32)
    for j in range(BANDS):
        start, centre, stop = edges[j : j + 3]
        up = np.linspace(0, 1, centre - start, endpoint=False)
        down = np.linspace(1, 0, stop - centre, endpoint=False)
        ramp = np.concatenate([up, down]).astype(np.float32)
        bank[start:stop, j] = ramp / ramp.sum()
    groups = []
    for a, b in ((0, 30), (30, 48), (48, 66), (66, 81)):
        used = np.flatnonzero(bank[:, a:b].any(1))
        weights = np.ascontiguousarray(bank[used[0] : used[-1] + 1, a:b])
        groups.append((slice(used[0] - 2, used[-1] - 1), slice(a, b), weights))
    return np.hanning(WINDOW).astype(np.float32), groups


def log_bands(signal: NDArray[np.float32], block: int = 128) -> Spectrogram:
    """log10(1 + bands) [T, 81] of a mono signal [n], T = ceil(n / 441)."""
    window, groups = _tables()
    total = -(-len(signal) // HOP)
    padded = np.zeros((total - 1) * HOP + WINDOW, np.float32)
    padded[WINDOW // 2 :][: len(signal)] = signal[: len(padded) - WINDOW // 2]
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    out = np.empty((total, BANDS), np.float32)
    for a in range(0, total, block):
        z = rfft(frames[a : a + block] * window)[:, 2:778]
        magnitude = np.sqrt(z.real**2 + z.imag**2)
        for bins, bands, weights in groups:
            out[a : a + block, bands] = magnitude[:, bins] @ weights
    out += 1
    return np.log10(out, out=out)


def running_median(x: Spectrogram) -> Spectrogram:
    """Median over 31 frames of every column of `x` [T, bands]; the ends are mirrored."""
    rows = np.pad(x.T, ((0, 0), (REACH, REACH)), mode="symmetric")
    flat = median_filter(rows.ravel(), 2 * REACH + 1)
    result: Spectrogram = flat.reshape(rows.shape)[:, REACH:-REACH].T
    return result


def views(mix: NDArray[np.float32]) -> Spectrogram:
    """The four views of a stereo mix.

    Parameters
    ----------
    mix
        float32 [2, n], 44.1 kHz.

    Returns
    -------
    float32 [4, ceil(n / 441), 81]: mid, side, percussive and harmonic part of mid.
    """
    left, right = mix.astype(np.float32, copy=False)
    mid = log_bands((left + right) / 2)
    difference = (left - right) / 2
    side = log_bands(difference) if difference.any() else np.zeros_like(mid)
    harmonic = running_median(mid)
    percussive = np.log10(1 + np.maximum(10**mid - 10**harmonic, 0))
    return np.stack([mid, side, percussive, harmonic]).astype(np.float32)
