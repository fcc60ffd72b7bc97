"""Mastering of the mix: compression, loudness, clipping, width, and codec artefacts."""

import itertools
import random

import numpy as np
from scipy import fft
from scipy.signal import ellip, lfilter, sosfilt

from allin1_train.music.audio import RATE, Signal, f32, one_pole

HOP = 576
#: Edges of the bands of the simulated codec, in bins of 38 Hz.
BAND_EDGES = (
    0,
    4,
    8,
    12,
    16,
    20,
    24,
    30,
    36,
    44,
    52,
    62,
    74,
    90,
    110,
    134,
    162,
    196,
    238,
    288,
    342,
    418,
    577,
)


def compress(mix: Signal, r: random.Random) -> Signal:
    """Compress the sum at control rate."""
    n, step = mix.shape[1], 256
    level = np.sqrt((mix[:, : n // step * step] ** 2).reshape(2, -1, step).mean((0, 2)) + 1e-8)
    k = np.exp(-step / RATE / r.uniform(0.05, 0.3))
    level = lfilter([1 - k], [1, -k], level)
    ratio, threshold = r.uniform(0.2, 0.7), level.mean() * r.uniform(0.5, 1)
    gain = (np.maximum(level, threshold) / threshold) ** -ratio
    result: Signal = mix * np.interp(
        np.arange(n), np.arange(len(gain)) * step + step / 2, gain
    ).astype(f32)
    return result


def normalise(mix: Signal, r: random.Random) -> Signal:
    """Bring the mix to a level: peaks that fit, driven into saturation, or clipped loud."""
    peak = np.sort(np.abs(mix[:, ::31]).ravel())[-30] + 1e-6
    mix = mix * f32(r.uniform(0.35, 1) / peak)
    kind = r.random()
    if kind < 0.4:
        drive = f32(r.uniform(1, 4))
        mix = np.tanh(mix * drive) / np.tanh(drive)
    elif kind < 0.55:  # loud, with clipped peaks
        rms = np.sqrt(np.mean(mix[:, ::7] ** 2)) + 1e-6
        mix = np.clip(mix * f32(10 ** (r.uniform(-13, -7) / 20) / rms), -1, 1)
    return mix


def coded(mix: Signal, r: random.Random) -> Signal:
    """Simulate a lossy codec: a low-pass filter, and quantisation noise in bands."""
    cut = int(r.choice([11000, 15000, 16000, 16000, 17000, 19000]) / RATE * 2 * HOP)
    coarse = r.uniform(0.02, 0.22)
    n = mix.shape[1]
    frames = n // HOP + 2
    window = np.sin(np.pi * (np.arange(2 * HOP) + 0.5) / (2 * HOP)).astype(f32)
    out = np.zeros_like(mix)
    for channel in range(2 if np.any(mix[0] != mix[1]) else 1):
        padded = np.zeros((frames + 1) * HOP, f32)
        padded[HOP : HOP + n] = mix[channel]
        result = np.zeros_like(padded).reshape(-1, HOP)
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * HOP)[::HOP]
        for a in range(0, frames, 512):
            z = fft.rfft(windows[a : a + 512] * window)
            z[:, cut:] = 0
            parts = z.view(f32)
            for k, (low, high) in enumerate(itertools.pairwise(BAND_EDGES)):
                band = parts[:, 2 * low : 2 * high]
                step = np.abs(band).max(1, keepdims=True) * f32(coarse * (1 + 0.15 * k)) + f32(1e-7)
                np.rint(band / step, out=band)
                band *= step
            y = fft.irfft(z, 2 * HOP) * window
            result[a : a + len(y)] += y[:, :HOP]
            result[a + 1 : a + 1 + len(y)] += y[:, HOP:]
        out[channel] = result.ravel()[HOP : HOP + n]
    if channel == 0:
        out[1] = out[0]
    return out


def master(mix: Signal, r: random.Random, fade: tuple[float, float] | None) -> Signal:
    """Master a mix [2, n]; `fade` is the start and end of the fade-out in seconds."""
    n = mix.shape[1]
    g = np.random.default_rng(r.randrange(2**32))
    if r.random() < 0.55:
        mix = compress(mix, r)
    if r.random() < 0.6:
        mix += f32(r.uniform(-0.5, 1)) * one_pole(mix, r.uniform(150, 1200), r.random() < 0.5)
    if r.random() < 0.12:
        mix = one_pole(mix, r.uniform(2500, 8000))
    if fade is not None:
        i, j = int(max(0, fade[0]) * RATE), int(fade[1] * RATE)
        mix[:, i:j] *= np.linspace(1, 0, j - i, dtype=f32) ** f32(1.5)
        mix[:, j:] = 0
    mix = normalise(mix, r)
    if r.random() < 0.2:
        mix += f32(10 ** r.uniform(-4.5, -2.3)) * g.standard_normal(n, dtype=f32)
    narrow = r.random()
    if narrow < 0.2:
        mix[:] = mix.mean(0)
    elif narrow < 0.33:
        middle = mix.mean(0)
        mix = middle + (mix - middle) * f32(r.uniform(0.2, 0.7))
    lossy = r.random()
    if lossy < 0.2:
        mix = coded(mix, r)
    elif lossy < 0.35:
        cut = r.choice([8000, 11000, 15000, 16000, 16000])
        mix = sosfilt(ellip(8, 0.1, 60, cut, fs=RATE, output="sos").astype(f32), mix).astype(f32)
    if r.random() < 0.3:
        mix *= f32(10 ** (-r.uniform(0, 14) / 20))
    return np.clip(mix, -1, 1)
