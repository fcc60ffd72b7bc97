"""Risers, impacts, downlifters and reversed cymbals."""

import random

import numpy as np
from scipy.signal import lfilter

from allin1_train.music.audio import RATE, Signal, f32, faded
from allin1_train.music.score import Array
from allin1_train.music.transitions import DOWNLIFTER, IMPACT, RISER


def sweeps(notes: Array, n: int, r: random.Random) -> Signal:
    """`n` samples of the effects `notes`, whose pitch names the kind (see `transitions`)."""
    out = np.zeros(n, f32)
    g = np.random.default_rng(r.randrange(2**32))
    tone = r.choice([0, 0.3, 0.3, 0.8])
    for start, length, kind, velocity in notes.tolist():
        i = int(start * RATE)
        m = min(int(length * RATE), n - i)
        if m < 100:
            continue
        t = np.linspace(0, 1, m, dtype=f32)
        x = g.standard_normal(m, dtype=f32)
        dark = lfilter([f32(0.08)], [f32(1), f32(-0.92)], x).astype(f32)
        if kind == RISER:
            sweep = np.sin(2 * np.pi * np.cumsum(200 * 2 ** (3 * t)) / RATE).astype(f32)
            x = (dark * (1 - t) + (x - dark) * t) * t**1.5 + f32(tone) * sweep * t**2
        elif kind == IMPACT:
            boom = np.sin(2 * np.pi * 45 * t * f32(length)) * np.exp(-3 * t)
            x = (x * f32(0.4) + dark * 2) * np.exp(-4 * t) + boom
        elif kind == DOWNLIFTER:
            sweep = np.sin(2 * np.pi * np.cumsum(1600 * 2 ** (-3 * t)) / RATE).astype(f32)
            x = ((x - dark) * (1 - t) + dark * t) * (1 - t) ** 1.5 + f32(tone / 2) * sweep * (
                1 - t
            ) ** 2
        else:
            x = (x - dark) * t**4
        out[i : i + m] += faded(x.astype(f32), 400) * f32(velocity)
    return out
