"""Synthesised percussion under General MIDI keys: drum machines, and the noise of sound chips."""

import random
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from allin1_train.music.audio import RATE, Signal, f32, faded

Wave = NDArray[np.float64]


class Draw(Protocol):
    """Returns the kit's random number `k` for a key, between `low` and `high`."""

    def __call__(self, low: float, high: float, k: int = 0) -> float:
        """Return the number."""
        ...


def seconds(length: float) -> Wave:
    """Time axis of `length` seconds."""
    return np.arange(int(RATE * length)) / RATE


class Kit:
    """A drum machine drawn at random.

    Parameters
    ----------
    r
        Random stream.
    chip
        Whether it sounds like the noise channel of a sound chip.
    """

    def __init__(self, r: random.Random, chip: bool = False) -> None:
        self.g = np.random.default_rng(r.randrange(2**32))
        self.p = {k: r.random() for k in range(30, 90)}
        self.chip = chip

    def note(self, key: int, velocity: float) -> Signal:
        """One stroke."""
        p = self.p.get(key, 0.5)

        def u(low: float, high: float, k: int = 0) -> float:
            """Number `k` of this kit's key, between `low` and `high`."""
            return low + (high - low) * ((p * (k + 1) * 7.13) % 1)

        if self.chip:
            x = self._chip(key, u)
        elif key in (35, 36):
            x = self._kick(u)
        elif key in (37, 38, 40):
            x = self._snare(key, u)
        elif key == 39:
            x = self._clap(u)
        elif key in (42, 44, 46, 54, 69, 70, 82):
            x = self._hat(key, u)
        elif key in (49, 51, 52, 53, 55, 57):
            x = self._cymbal(key, u)
        elif 41 <= key <= 50 or 60 <= key <= 66:
            x = self._tom(key, u)
        else:
            x = self._block(key, u)
        return faded((x * velocity).astype(f32))

    def noise(self, n: int, low: float, high: float, slope: float = 2) -> Wave:
        """Noise between `low` and `high` Hz, of peak 1."""
        f = np.fft.rfftfreq(n, 1 / RATE) + 1
        s = self.g.standard_normal(len(f)) + 1j * self.g.standard_normal(len(f))
        x = np.fft.irfft(s / (1 + (low / f) ** slope) / (1 + (f / high) ** slope), n)
        result: Wave = x / (np.abs(x).max() + 1e-9)
        return result

    def _kick(self, u: Draw) -> Wave:
        t = seconds(u(0.25, 0.7))
        sweep = u(30, 260, 1) * np.exp(-t / u(0.008, 0.04, 2))
        body = np.sin(2 * np.pi * np.cumsum(u(42, 65, 3) + sweep) / RATE) * np.exp(
            -t / u(0.06, 0.28, 4)
        )
        click = u(0.02, 0.4, 5) * self.noise(len(t), 800, 8000) * np.exp(-t / 0.006)
        return np.tanh((body + click) * u(1, 4, 6))

    def _snare(self, key: int, u: Draw) -> Wave:
        t = seconds(0.5)
        full = key != 37
        f = u(160, 260) * (1 if full else 2.5)
        body = np.sin(2 * np.pi * (f * t + 2 * (1 - np.exp(-t / 0.02)))) * np.exp(
            -t / u(0.03, 0.12, 2)
        )
        rattle = self.noise(len(t), u(300, 2000, 3), u(6000, 14000, 4))
        rattle *= np.exp(-t / (u(0.04, 0.18, 5) if full else 0.02))
        result: Wave = u(0.2, 0.9, 1) * body + (0.8 if full else 0.15) * rattle
        return result

    def _clap(self, u: Draw) -> Wave:
        t = seconds(0.5)
        e = 0.8 * np.exp(-np.maximum(t - 0.03, 0) / u(0.04, 0.15)) * (t >= 0.03)
        for d in (0, 0.011, 0.021):
            e += np.exp(-np.maximum(t - d, 0) / 0.006) * (t >= d)
        return self.noise(len(t), 700, u(3000, 9000, 1)) * e

    def _hat(self, key: int, u: Draw) -> Wave:
        long = key in (46, 54)
        t = seconds(0.6 if long else 0.12)
        metal = sum(
            np.sign(np.sin(2 * np.pi * 40 * k * u(8, 14, 3) * t)) for k in (1, 1.34, 1.79, 2.31)
        )
        x = self.noise(len(t), u(4000, 8500, 1), 16000) + u(0, 0.6, 2) * metal / 4
        x *= np.exp(-t / (u(0.1, 0.3) if long else u(0.012, 0.05)))
        return x * np.minimum(1, t / (0.0005 if key < 54 else 0.012))

    def _cymbal(self, key: int, u: Draw) -> Wave:
        crash = key in (49, 57)
        t = seconds(1.8 if crash else 1.0)
        decay = np.exp(-t / u(0.4, 0.9, 1)) if crash else 0.35 * np.exp(-t / 0.3)
        x = self.noise(len(t), u(1500, 5000), 15000, 1.5) * decay
        tones = sum(np.sin(2 * np.pi * f * t * u(0.9, 1.1, 2)) for f in (2730, 3410, 4380, 5620))
        return x + (0.3 if crash else 0.5) * tones * np.exp(-t / 0.4) / 4

    def _tom(self, key: int, u: Draw) -> Wave:
        t = seconds(0.6)
        f = 70 + 14 * (key - 41) if key < 60 else 190 + 60 * (66 - key)
        x = np.sin(2 * np.pi * (f * t + f * 0.02 * (1 - np.exp(-t / 0.02)))) * np.exp(
            -t / u(0.08, 0.25)
        )
        return x + 0.15 * self.noise(len(t), 400, 6000) * np.exp(-t / 0.01)

    def _block(self, key: int, u: Draw) -> Wave:
        t = seconds(0.25)
        f = {75: 2500, 76: 1000, 77: 750, 56: 800}.get(key, 1800) * u(0.8, 1.2)
        return (np.sin(2 * np.pi * f * t) + 0.6 * np.sin(2 * np.pi * 1.48 * f * t)) * np.exp(
            -t / u(0.02, 0.08, 1)
        )

    def _chip(self, key: int, u: Draw) -> Wave:
        """Held noise, or a falling square wave, with an envelope of 15 levels."""
        length, hold, decay = {
            36: (0.15, 16, 0.05), 38: (0.2, 6, u(0.04, 0.09)), 39: (0.2, 5, 0.06), 42: (0.05, 1, 0.012),
            44: (0.05, 1, 0.012), 46: (0.15, 1, 0.05), 49: (0.7, 2, 0.25), 57: (0.7, 2, 0.25),
        }.get(key, (0.12, 4, 0.04))  # fmt: skip
        t = seconds(length)
        level = np.ceil(15 * np.exp(-t / decay) - 0.5) / 15
        if key in (35, 36) or 41 <= key <= 50:
            f = u(50, 90) + u(200, 500, 1) * np.exp(-t / 0.025)
            return np.sign(np.sin(2 * np.pi * np.cumsum(f) / RATE)) * level * 0.7
        held = np.repeat(self.g.choice([-1.0, 1.0], len(t) // hold + 1), hold)[: len(t)]
        return held * level * 0.6
