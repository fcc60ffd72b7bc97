"""Effects on tracks: echo, doubling, rooms, ducking, filter sweeps."""

import random

import numpy as np

from allin1_train.music.audio import CONTROL, RATE, Signal, f32, one_pole, smoothed, stretched
from allin1_train.music.score import Array


def echo(x: Signal, gap: int, back: float) -> None:
    """Add three echoes, `gap` samples apart, in place."""
    for k in range(1, 4):
        if gap * k < len(x):
            x[gap * k :] += x[: len(x) - gap * k] * f32(0.5 * back**k)


def doubled(x: Signal, spans: Array, r: random.Random) -> Signal:
    """A second voice for the sides: late and wavering, only within `spans` (seconds)."""
    n = len(x)
    frames = n // CONTROL + 2
    level = np.zeros(frames)
    for a, b in spans.tolist():
        level[int(a * RATE / CONTROL) : int(b * RATE / CONTROL)] = 1
    g = np.random.default_rng(r.randrange(2**32))
    wander = smoothed(g.standard_normal(frames), 0.15)
    delay = (r.uniform(0.014, 0.03) + 0.004 * wander / (np.abs(wander).max() + 1e-9)) * RATE
    at = np.maximum(np.arange(n) - stretched(delay, n), 0).astype(np.int64)
    result: Signal = x[at] * stretched(smoothed(level, 0.02), n)
    return result


def room(r: random.Random) -> Signal:
    """Stereo impulse response of a random room, [2, n]."""
    seconds = float(np.exp(r.uniform(np.log(0.25), np.log(2.6))))
    n = int(RATE * seconds)
    g = np.random.default_rng(r.randrange(2**32))
    x = g.standard_normal((2, n)).astype(f32) * np.exp(-6.9 * np.arange(n) / n).astype(f32)
    x = one_pole(x, r.uniform(1500, 9000))
    x[:, : int(RATE * r.uniform(0.001, 0.03))] *= f32(0.1)
    result: Signal = x / np.sqrt((x**2).sum(1, keepdims=True))
    return result


def ducking(times: Array, n: int, beat_seconds: float, r: random.Random) -> Signal:
    """Gain of a side-chained bus: it dips at `times` and recovers."""
    recovery = r.uniform(0.12, 0.4) if r.random() < 0.5 else beat_seconds * r.uniform(0.4, 0.95)
    gain, m = np.ones(n // CONTROL + 2, f32), int(recovery * RATE / CONTROL)
    phase = np.linspace(0, np.pi / 2, m, dtype=f32)
    dip = 1 - f32(r.uniform(0.3, 0.95)) * np.maximum(np.cos(phase), 0) ** f32(r.choice([0.5, 1, 1]))
    for t in times.tolist():
        i = int(t * RATE / CONTROL)
        gain[i : i + m] = dip[: len(gain[i : i + m])]
    return stretched(gain, n)


def sweep(bus: Signal, opens: list[tuple[float, float]], r: random.Random) -> None:
    """Open a low-pass filter over each of the spans `opens` (seconds), in place."""
    cut = r.uniform(200, 700)
    for a, b in opens:
        i, j = int(a * RATE), min(int(b * RATE), bus.shape[1])
        if j - i > RATE:
            dark = one_pole(one_pole(bus[:, i:j], cut), cut)
            amount = np.linspace(0, 1, j - i, dtype=f32) ** f32(2)
            bus[:, i:j] = dark + amount * (bus[:, i:j] - dark)


def hush(mix: Signal, spans: Array) -> None:
    """Lower the level within spans (see `Song.hush`), in place."""
    for begin, end, level, edge in spans.tolist():
        i, j = int(begin * RATE), min(int(end * RATE), mix.shape[1])
        if j > i:
            inside = np.minimum(np.arange(j - i), np.arange(j - i)[::-1]).astype(f32)
            depth = np.minimum(inside / f32(edge * RATE), 1)
            mix[:, i:j] *= 1 - f32(1 - level) * depth
