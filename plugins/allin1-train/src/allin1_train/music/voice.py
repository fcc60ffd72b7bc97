"""A singer: a glottal source with glides and vibrato, filtered by vowels, with consonants in between."""

import itertools
import random

import numpy as np

from allin1_train.music.audio import CONTROL, RATE, Signal, f32, smoothed, stretched
from allin1_train.music.score import Array

#: First three formants, Hz.
VOWELS = {
    "a": (800, 1200, 2600), "e": (450, 1900, 2600), "i": (300, 2300, 3000), "o": (450, 850, 2600),
    "u": (320, 700, 2500), "ae": (650, 1700, 2500), "er": (480, 1350, 1700),
}  # fmt: skip
PER_SECOND = RATE / CONTROL


class Singer:
    """A voice drawn at random: size of the vocal tract, brightness, vibrato, breath, diction.

    Parameters
    ----------
    r
        Random stream.
    """

    def __init__(self, r: random.Random) -> None:
        self.r, self.g = r, np.random.default_rng(r.randrange(2**32))
        self.tract, tilt = r.uniform(0.88, 1.2), r.uniform(0.8, 1.7)
        self.rate, self.depth, self.breath = (
            r.uniform(4.8, 6.4),
            r.uniform(0.05, 0.45),
            r.uniform(0.01, 0.12),
        )
        self.vowels = r.sample(list(VOWELS), 4)
        self.glide, self.attack = r.uniform(0.02, 0.09), r.uniform(0.015, 0.05)
        self.diction, self.scoop = r.uniform(0.4, 0.85), r.uniform(0, 2)
        h = np.arange(1, 60)
        spectrum = np.zeros(1025, complex)
        spectrum[1:60] = h**-tilt * np.exp(1j * h * h * 0.05)
        table = np.fft.irfft(spectrum)
        self.table = (table / np.abs(table).max()).astype(f32)

    def sing(self, notes: Array, n: int) -> Signal:
        """`n` samples of the melody `notes` (see `Track.notes`)."""
        out = np.zeros(n, f32)
        ends = np.maximum.accumulate(notes[:, 0] + notes[:, 1])
        cuts = [0, *(np.flatnonzero(notes[1:, 0] > ends[:-1] + 0.25) + 1).tolist(), len(notes)]
        for a, b in itertools.pairwise(cuts):
            begin = max(0, int((notes[a, 0] - 0.15) * RATE))
            m = min(n, int((ends[a:b].max() + 0.25) * RATE)) - begin
            if m > 2000:
                out[begin : begin + m] += self._phrase(notes[a:b], begin, m)
        return out

    def _phrase(self, phrase: Array, begin: int, m: int) -> Signal:
        r, g = self.r, self.g
        frames = m // CONTROL + 2
        t = np.arange(frames) / PER_SECOND
        pitch, level, since = np.full(frames, phrase[0, 2]), np.zeros(frames), np.zeros(frames)
        weights, noise = np.zeros((4, frames)), np.zeros(frames)
        for start, length, p, velocity in phrase:
            i = max(0, int((start * RATE - begin) / CONTROL))
            j = min(frames, max(i + 1, int(((start + length) * RATE - begin) / CONTROL)))
            pitch[i:], level[i:j], since[i:j] = p, velocity, t[: j - i]
            if r.random() < 0.3:  # scooped from below
                pitch[i : i + int(0.06 * PER_SECOND)] -= self.scoop
            weights[:, i:] = 0
            half = i + (j - i) * 2 // 3
            weights[r.randrange(4), i:half] = 1
            weights[r.randrange(4), half:] = 1
            if r.random() < self.diction:
                self._consonant(i, velocity, level, noise)
        pitch = smoothed(pitch - phrase[0, 2], self.glide) + phrase[0, 2]
        pitch += (
            self.depth * np.sin(2 * np.pi * self.rate * t) * np.clip((since - 0.15) / 0.3, 0, 1)
        )
        pitch += smoothed(g.standard_normal(frames), 0.05) * 0.25
        f = 440 * 2 ** ((pitch - 69) / 12)
        at = np.arange(m) / CONTROL
        phase = np.interp(at, np.arange(frames), np.cumsum(f) / PER_SECOND) * 2048
        source = self.table[phase.astype(np.int64) & 2047] * stretched(
            smoothed(level, self.attack), m
        )
        source += self.breath * stretched(level, m) * g.standard_normal(m, dtype=f32)
        out = self._tract(source, smoothed(weights, 0.03), m)
        hiss = g.standard_normal(m, dtype=f32)
        hiss[1:] -= hiss[:-1].copy()
        result: Signal = out + hiss * stretched(smoothed(noise, 0.006), m) * f32(0.06)
        return result

    def _consonant(self, i: int, velocity: float, level: Array, noise: Array) -> None:
        """Before the vowel at frame `i`: a fricative, a stop with a burst, or a nasal."""
        r = self.r
        kind = r.random()
        if kind < 0.5:  # s, f, sh
            c = int(r.uniform(0.04, 0.12) * PER_SECOND)
            noise[max(0, i - c) : i] = velocity * r.uniform(0.1, 0.5)
            level[max(0, i - c) : i] *= r.uniform(0, 0.3)
        elif kind < 0.8:  # t, k, p
            c = int(r.uniform(0.03, 0.07) * PER_SECOND)
            level[max(0, i - c) : i] = 0
            noise[max(0, i - int(0.01 * PER_SECOND)) : i + 2] = velocity * r.uniform(0.2, 0.6)
        else:  # m, n, l
            c = int(r.uniform(0.03, 0.08) * PER_SECOND)
            level[max(0, i - c) : i] *= r.uniform(0.3, 0.6)

    def _tract(self, source: Signal, weights: Array, m: int) -> Signal:
        size = 1 << (m - 1).bit_length()
        frequency = np.fft.rfftfreq(size, 1 / RATE).astype(f32)
        spectrum = np.fft.rfft(source, size).astype(np.complex64)
        out = np.zeros(m, f32)
        for k, vowel in enumerate(self.vowels):
            if not weights[k].any():
                continue
            response = np.full(len(frequency), 0.004, f32)
            for formant, gain in zip((*VOWELS[vowel], 3600), (1, 0.6, 0.35, 0.15), strict=True):
                width = 45 + 0.06 * formant
                response += gain / (1 + ((frequency - f32(formant * self.tract)) / f32(width)) ** 2)
            out += np.fft.irfft(spectrum * response, size)[:m].astype(f32) * stretched(
                weights[k], m
            )
        return out
