"""A synthesiser: bright and dark wavetables, cross-faded by an envelope; or FM."""

import random

import numpy as np

from allin1_train.music.audio import RATE, Signal, f32, faded

HARMONICS = np.arange(1, 400)
SINGLE = ("sub", "808", "organ", "bell", "chip", "chipbass")


def adsr(n: int, hold: float, a: float, d: float, s: float, release: float) -> Signal:
    """Envelope: attack, exponential decay to the level `s`, exponential release after `hold`."""
    t = np.arange(n, dtype=f32) * f32(1 / RATE)
    e = np.minimum(t / f32(a), 1) * (s + (1 - s) * np.exp(-np.maximum(t - a, 0) / f32(d)))
    result: Signal = (e * np.exp(-np.maximum(t - f32(hold), 0) / f32(release))).astype(f32)
    return result


class Patch:
    """An instrument drawn at random within its kind.

    Parameters
    ----------
    kind
        pad, supersaw, pluck, bell, organ, sub, 808, fm, lead, saw, chip or chipbass.
    r
        Random stream.
    """

    def __init__(self, kind: str, r: random.Random) -> None:
        self.kind, u = kind, r.uniform
        self.a, self.d, self.s, self.release = {
            "pad": (u(0.1, 0.6), 1.0, 0.8, u(0.3, 0.9)),
            "supersaw": (u(0.003, 0.1), 0.6, 0.7, u(0.08, 0.4)),
            "pluck": (0.002, u(0.1, 0.5), u(0, 0.15), u(0.05, 0.3)),
            "bell": (0.002, u(0.4, 1.5), 0.0, u(0.3, 0.9)),
            "organ": (0.006, 1.0, 1.0, 0.04),
            "sub": (0.008, 1.0, 0.9, 0.06),
            "808": (0.003, u(0.5, 1.2), 0.2, 0.1),
            "fm": (0.003, u(0.1, 0.8), u(0.1, 0.6), 0.08),
            "lead": (u(0.003, 0.05), u(0.2, 0.8), u(0.5, 0.9), u(0.05, 0.2)),
            "saw": (u(0.002, 0.01), u(0.1, 0.6), u(0.3, 0.9), u(0.04, 0.15)),
            "chip": (0.001, u(0.08, 0.6), u(0.2, 1), 0.015),
            "chipbass": (0.001, 1.0, 1.0, 0.01),
        }[kind]
        self.bright_d, self.bright_s, self.depth = u(0.05, 0.5), u(0.05, 0.6), u(0.5, 1)
        thin = kind in ("pluck", "saw", "lead", "fm") and r.random() < 0.4
        if kind in SINGLE or thin:
            self.detune = [0.0]
        else:
            copies = 5 if kind == "supersaw" else r.choice([2, 3])
            self.detune = [u(-1, 1) * u(0.04, 0.22) for _ in range(copies)]
        self.ratio, self.index = r.choice([1, 2, 3, 0.5, 1.41, 3.5, 2.76, 7]), u(1, 6)
        self.vibrato = u(0.1, 0.4) if kind in ("chip", "lead") and r.random() < 0.5 else 0.0
        self.amplitudes = self._wave(r)
        self.cut, self.dark, self.slope = u(1500, 11000), u(150, 1200), u(2, 4)
        if kind in ("chip", "chipbass"):
            self.cut = self.dark = 16000.0
        self.tables: dict[tuple[int, float], Signal] = {}

    def _wave(self, r: random.Random) -> np.ndarray:
        h = HARMONICS
        out: np.ndarray = 1 / h
        if self.kind == "organ":
            out = np.zeros(len(h))
            out[[0, 1, 2, 3, 5, 7]] = [r.uniform(0.3, 1) for _ in range(6)]
        elif self.kind in ("sub", "808"):
            out = (h == 1) + r.uniform(0, 0.15) * (h == 2) + r.uniform(0, 0.1) * (h == 3)
        elif self.kind == "chipbass":  # a triangle
            out = (h % 2) / h**2.0
        elif self.kind == "chip":
            out = np.sin(np.pi * h * r.choice([0.125, 0.25, 0.5])) / h
        else:
            wave = r.choice(["saw", "saw", "square", "pulse"])
            if wave == "square":
                out = (h % 2) / h
            elif wave == "pulse":
                out = np.sin(np.pi * h * r.uniform(0.1, 0.4)) / h
        return out

    def table(self, f0: float, cut: float) -> Signal:
        """One cycle of 2048 samples, low-passed at `cut` Hz and without aliasing."""
        key = round(np.log2(f0) * 3), cut
        if key not in self.tables:
            f = HARMONICS * 2 ** (key[0] / 3)
            s = np.zeros(1025, complex)
            response = 1 / (1 + (f / max(cut, 1.5 * f0)) ** self.slope) * (f < 18000)
            s[1:400] = self.amplitudes * response * np.exp(1j * HARMONICS * 0.3)
            t = np.fft.irfft(s)
            self.tables[key] = (t / (np.abs(t).max() + 1e-9)).astype(f32)
        return self.tables[key]

    def note(self, pitch: float, seconds: float, velocity: float) -> Signal:
        """One note with its release."""
        n = int(RATE * (seconds + min(1.2, 4 * self.release)))
        f0 = 440 * 2 ** ((pitch - 69) / 12)
        envelope = adsr(n, seconds, self.a, self.d, self.s, self.release)
        wave = (
            self._fm(n, f0, velocity)
            if self.kind in ("fm", "bell")
            else self._tables(n, f0, velocity)
        )
        return faded((wave * envelope * f32(velocity)).astype(f32))

    def _fm(self, n: int, f0: float, velocity: float) -> Signal:
        t = np.arange(n) / RATE
        depth = (self.index * velocity * np.exp(-t / self.bright_d)).astype(f32)
        m = np.sin((2 * np.pi * (f0 * self.ratio * t % 1)).astype(f32)) * depth
        out = np.sin((2 * np.pi * (f0 * t % 1)).astype(f32) + m)
        if self.kind == "bell":
            out += 0.4 * np.sin(2 * np.pi * (2.76 * f0 * t % 1)) * np.exp(-t * 6)
        result: Signal = out.astype(f32)
        return result

    def _tables(self, n: int, f0: float, velocity: float) -> Signal:
        t = np.arange(n, dtype=f32) * f32(1 / RATE)
        if self.kind == "pad":
            mix = self.depth * np.minimum(1, t / f32(4 * self.a)) * f32(0.6)
        else:
            fall = self.bright_s + (1 - self.bright_s) * np.exp(-t / f32(self.bright_d))
            mix = (self.depth * velocity * fall).astype(f32)
        dark = self.table(f0, self.dark)
        bright = self.table(f0, self.cut) - dark
        plain = self.cut == self.dark
        out = np.zeros(n, f32)
        for k, semitones in enumerate(self.detune):
            f = f0 * 2 ** (semitones / 12)
            phase = np.arange(n) * (f / RATE * 2048) + k * 700
            if self.kind == "808":
                phase = phase + 2048 * f * 0.04 * (1 - np.exp(-t / f32(0.03)))
            elif self.vibrato:
                late = np.clip((t - 0.2) / f32(0.3), 0, 1)
                phase = phase + 2048 * f * self.vibrato / 12 * 0.69 / 37 * late * np.sin(
                    t * f32(37)
                )
            i = phase.astype(np.int64) & 2047
            out += dark[i] if plain else dark[i] + mix * bright[i]
        out /= f32(len(self.detune) ** 0.5)
        return np.tanh(out * f32(1 + 2 * self.depth)) if self.kind == "808" else out
