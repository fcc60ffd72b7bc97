"""Conversion from beats to seconds: tempo map, swing, and human timing."""

import random

import numpy as np
from numpy.typing import ArrayLike

from allin1_train.music.genres import Genre
from allin1_train.music.score import Array, Bar, Track

#: Genres with a flexible tempo at the ends of phrases.
RUBATO = ("piano", "chamber", "waltz", "folk", "ballad", "ambient", "orchestral")
BEFORE = 8  # beats kept free before the first downbeat


class TempoMap:
    """Seconds of positions in beats.

    Parameters
    ----------
    r
        Random stream.
    name, genre
        The genre, which determines how flexible the tempo is.
    bars
        All bars.
    bpm
        Tempo of the beat.
    swing8, swing16
        Position of the second eighth (of two) and sixteenth, 0.5 … 0.7; 0: even.
    """

    def __init__(
        self,
        r: random.Random,
        name: str,
        genre: Genre,
        bars: list[Bar],
        bpm: float,
        swing8: float,
        swing16: float,
    ) -> None:
        self.swing8, self.swing16 = swing8, swing16
        n = bars[0].n
        total = bars[-1].at + bars[-1].n
        count = int(total) + 1
        steps = np.ones(count)
        if genre.human > 0.002:
            drift = np.cumsum([r.gauss(0, 1) for _ in range(count)])
            drift -= np.linspace(drift[0], drift[-1], count)
            free = 0.04 if name in ("piano", "chamber", "folk", "waltz", "jazz") else 0.02
            steps *= np.exp(
                drift / (np.abs(drift).max() + 1e-9) * r.choice([0, 0.003, 0.01, 0.02, free])
            )
        if r.random() < (0.01 if genre.electronic else 0.04):  # one section has another tempo
            section = r.randrange(bars[-1].section + 1)
            factor = r.choice([0.75, 0.85, 1.12, 1.25])
            if 55 < bpm / factor < 190:
                for bar in bars:
                    if bar.section == section:
                        steps[int(bar.at) : int(bar.at + bar.n)] *= factor
        if name in RUBATO and r.random() < 0.4:
            for bar in bars:
                if bar.index % 4 == 3:
                    steps[int(bar.at + bar.n) - 1] *= r.uniform(1, 1.12)
        if r.random() < (0.35 if genre.human > 0.009 else 0.06):  # ritardando
            k = min(count - 1, n * r.choice([1, 2]))
            steps[-k - 1 :] *= np.linspace(1, r.uniform(1.15, 1.8), k + 1)
        self.beat_seconds = 60 / bpm
        self.first_beat_seconds = float(steps[0]) * self.beat_seconds
        self.grid = np.arange(-BEFORE, count + 1, dtype=float)
        seconds = np.concatenate([np.full(BEFORE, steps[0]), steps]) * self.beat_seconds
        self.seconds = np.concatenate([[0], np.cumsum(seconds)])

    def begin(self, position: float, at: float) -> None:
        """Shift the map so that `position` (beats) falls on `at` seconds."""
        self.seconds += at - np.interp(position, self.grid, self.seconds)

    def beat(self, position: ArrayLike) -> Array:
        """Seconds of positions, without swing."""
        result: Array = np.interp(np.asarray(position, float), self.grid, self.seconds)
        return result

    def __call__(self, position: ArrayLike) -> Array:
        """Seconds of positions, with swing."""
        p = np.asarray(position, float)
        whole = np.floor(p)
        f = p - whole
        if self.swing8:
            s = self.swing8
            f = np.where(f < 0.5, f * 2 * s, s + (f - 0.5) * 2 * (1 - s))
        if self.swing16:
            s = self.swing16
            half, g = np.floor(f * 2) / 2, (f * 2) % 1
            f = half + np.where(g < 0.5, g * 2 * s, s + (g - 0.5) * 2 * (1 - s)) / 2
        return self.beat(whole + f)


def perform(
    r: random.Random, track: Track, tempo: TempoMap, human: float, silent: list[tuple[float, float]]
) -> None:
    """Convert a track's notes from beats to seconds, with human timing deviations.

    Notes that start within `silent` (beats) are left out, except for those of the singer.
    """
    late = 0.0 if human < 0.003 else r.gauss(0, 0.006) + (0.008 if track.role == "bass" else 0)
    notes = sorted(
        x
        for x in track.raw
        if track.role == "voice" or not any(a <= x.at < b - 0.01 for a, b in silent)
    )
    track.raw = []
    if not notes:
        return
    a = np.array(notes, float)
    g = np.random.default_rng(r.randrange(2**32))
    exact = tempo(a[:, 0])
    stop = tempo(a[:, 0] + a[:, 1])
    spread = human * {"drums": 0.7, "voice": 1.2, "lead": 1.2}.get(track.role, 1)
    jitter = np.clip(g.normal(0, 1, len(a)) * spread, -0.03, 0.03)
    if track.role == "drums" and human > 0.004:
        jitter += np.where(a[:, 2] == 38, r.uniform(-0.003, 0.009), 0)  # the snare lies back
    start = np.maximum(0, exact + late + jitter)
    velocity = np.clip(a[:, 3] * np.exp(g.normal(0, 1, len(a)) * (0.03 + 6 * human)), 0.05, 1)
    track.notes = np.stack([start, np.maximum(0.03, stop - exact), a[:, 2], velocity], 1)
