"""Constants and small helpers of the renderer."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

RATE = 44100
CONTROL = 64  # samples per step of slow envelopes

Signal = NDArray[np.float32]
f32 = np.float32


def faded(x: Signal, n: int = 400) -> Signal:
    """Fade the last `n` samples of `x` out, in place."""
    n = min(n, len(x))
    x[len(x) - n :] *= np.linspace(1, 0, n, dtype=f32)
    return x


def one_pole(x: Signal, cut: float, high: bool = False) -> Signal:
    """First-order low-pass (or high-pass) at `cut` Hz along the last axis."""
    k = f32(np.exp(-2 * np.pi * cut / RATE))
    y = lfilter([1 - k], [f32(1), -k], x, axis=-1).astype(f32)
    result: Signal = x - y if high else y
    return result


def smoothed(x: NDArray[Any], seconds: float, step: int = CONTROL) -> NDArray[Any]:
    """Exponential smoothing of a control signal along the last axis."""
    k = np.exp(-step / RATE / seconds)
    result: NDArray[Any] = lfilter([1 - k], [1, -k], x, axis=-1)
    return result


def stretched(control: NDArray[Any], n: int, step: int = CONTROL) -> Signal:
    """A control signal at full rate, `n` samples, interpolated linearly."""
    at = np.arange(n, dtype=f32) * f32(1 / step)
    result: Signal = np.interp(at, np.arange(len(control)), control).astype(f32)
    return result


def steps(points: NDArray[np.float64], n: int, seconds: float = 0.004) -> Signal:
    """A gate: level ``points[i, 1]`` from second ``points[i, 0]`` on, with soft edges."""
    frames = n // CONTROL + 2
    first = np.clip((points[:, 0] * RATE / CONTROL).astype(int), 0, frames)
    level = np.repeat(points[:, 1], np.diff(np.append(first, frames)))
    level = np.concatenate([np.full(frames - len(level), level[0]), level])
    return stretched(smoothed(level, seconds), n)
