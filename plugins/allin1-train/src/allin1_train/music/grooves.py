"""One bar of drums in many styles, with General MIDI keys."""

import random
from typing import NamedTuple

from allin1_train.music.rhythm import offbeat

KICK, RIM, SNARE, CLAP, HAT, PEDAL, OPEN, CRASH, RIDE = 36, 37, 38, 39, 42, 44, 46, 49, 51
#: How often a kick falls on each sixteenth of a four-beat bar.
KICK_WEIGHTS = (
    1,
    0.02,
    0.12,
    0.16,
    0.03,
    0.03,
    0.3,
    0.22,
    0.6,
    0.06,
    0.5,
    0.16,
    0.03,
    0.06,
    0.25,
    0.12,
)


class Hit(NamedTuple):
    """A drum stroke: offset in the bar (beats), key, velocity."""

    at: float
    key: int
    velocity: float


class BarOfDrums:
    """Builds one bar.

    Parameters
    ----------
    r
        The bar's random stream.
    n, div
        Beats, and steps of a beat.
    open_hats
        Whether the cymbals are those of a loud section.
    """

    def __init__(self, r: random.Random, n: int, div: int, open_hats: bool) -> None:
        self.r, self.n, self.div, self.open_hats = r, n, div, open_hats
        self.hits: list[Hit] = []
        self.beats = [float(k) for k in range(n)]
        self.off = offbeat(div)
        self.back = [float(k) for k in backbeats(r, n)]
        self.steps = [k + j / div for k in self.beats for j in range(div)]
        triplets = div == 3 and n == 2
        parts = (0, 1 / 3, 2 / 3) if triplets else (0, self.off)
        self.eighths = [k + j for k in self.beats for j in parts]
        self.offs = [k + self.off for k in self.beats]

    def put(self, key: int, velocity: float, *at: float) -> None:
        """Strokes at the offsets `at` that lie within the bar."""
        for a in at:
            if 0 <= a < self.n:
                self.hits.append(Hit(a, key, velocity * self.r.uniform(0.9, 1.05)))

    def hats(self, options: str = "8") -> None:
        """Hi-hats, a ride or open hats, accented on the beat."""
        r = self.r
        grids = {"4": self.beats, "8": self.eighths, "16": self.steps, "off": self.offs}
        grid = grids[r.choice(options.split())]
        key = r.choice([HAT, HAT, RIDE, OPEN]) if self.open_hats else HAT
        accent, weak = r.uniform(0.5, 1), r.uniform(0.55, 1)
        for a in grid:
            level = (
                0.62 if a % 1 == 0 else 0.62 * accent if a % 1 == self.off else 0.62 * accent * weak
            )
            self.hits.append(Hit(a, key, level * r.uniform(0.85, 1.1)))
        if r.random() < 0.3:
            self.put(OPEN, 0.6, r.choice(self.beats) + self.off)

    def kicks(self, density: float, *fixed: float) -> None:
        """Kicks at `fixed`, and others at likely positions."""
        r = self.r
        self.put(KICK, 0.95, *fixed)
        for i, a in enumerate(self.steps):
            if a in fixed or a in self.back:
                continue
            if self.n == 4 and self.div == 4 and len(self.back) == 2:
                chance = 1.6 * KICK_WEIGHTS[i]
            else:
                chance = 0.9 if a % 1 == 0 else 0.7 if a % 1 == self.off else 0.3
            if r.random() < density * chance:
                self.put(KICK, 0.8, a)

    def ghosts(self, density: float) -> None:
        """Quiet snare strokes, mostly beside the backbeats."""
        r = self.r
        for a in self.steps:
            if a % 1 == 0 and (a in self.back or a == 0):
                continue
            beside = any(abs(a - b) <= 1.01 / self.div for b in self.back)
            if r.random() < density * (1.5 if beside else 0.7):
                self.put(SNARE, r.uniform(0.15, 0.35), a)

    def play(self, style: str) -> list[Hit]:
        """The bar in `style`."""
        getattr(self, f"_{style}")()
        return self.hits

    def _none(self) -> None:
        pass

    def _four(self) -> None:
        r = self.r
        self.put(KICK, 1, *self.beats)
        self.put(r.choice([CLAP, SNARE]), 0.8, *self.back)
        if r.random() < 0.7:
            self.put(OPEN, 0.55, *self.offs)
        if r.random() < 0.6:
            self.put(HAT, 0.4, *self.steps)

    def _fourbreak(self) -> None:
        r = self.r
        self.put(KICK, 1, *(self.beats if r.random() < 0.5 else (0, 0.75, 2, 2.5)))
        self.put(r.choice([CLAP, SNARE]), 0.8, *self.back)
        if r.random() < 0.7:
            self.put(OPEN, 0.55, *self.offs)
        if r.random() < 0.6:
            self.put(HAT, 0.4, *self.steps)

    def _fourroll(self) -> None:
        r = self.r
        self.put(KICK, 1, *self.beats)
        self.put(r.choice([CLAP, SNARE]), 0.8, *self.back)
        if r.random() < 0.7:
            self.put(OPEN, 0.55, *self.offs)
        self.put(HAT, 0.4, *self.steps)

    def _disco(self) -> None:
        self.put(KICK, 1, *self.beats)
        self.put(self.r.choice([CLAP, SNARE]), 0.8, *self.back)
        self.put(OPEN, 0.55, *self.offs)
        if self.r.random() < 0.6:
            self.put(HAT, 0.4, *self.steps)

    def _house(self) -> None:
        r = self.r
        self.put(KICK, 1, *self.beats)
        if r.random() < 0.2:
            self.put(KICK, 0.6, self.n - 0.25)
        self.put(CLAP, 0.85, *self.back)
        if r.random() < 0.3:
            self.put(SNARE, 0.5, *self.back)
        self.put(OPEN, 0.6, *self.offs)
        if r.random() < 0.6:  # shuffled sixteenths between
            self.put(HAT, 0.3, *(a for a in self.steps if a % 1 != self.off and r.random() < 0.7))
        if r.random() < 0.4:  # a rim or conga figure against the beat
            self.put(r.choice([RIM, 62, 76]), 0.4, *(a for a in self.steps if r.random() < 0.2))

    def _electro(self) -> None:
        r = self.r
        self.put(KICK, 1, 0, *r.choice([(0.75, 2.5), (1.5, 2.5), (2.5,), (0.5, 2.5, 2.75), (2,)]))
        self.put(r.choice([SNARE, CLAP]), 0.9, *self.back)
        self.hats("16 8 16")
        if r.random() < 0.4:
            self.put(r.choice([56, 76, 75]), 0.4, *(a for a in self.eighths if r.random() < 0.3))

    def _chip(self) -> None:
        r = self.r
        self.put(KICK, 0.9, *r.choice([(0, 2), (0, 2, 2.5), (0, 1.5, 2), tuple(self.beats)]))
        self.put(SNARE, 0.85, *self.back)
        self.put(HAT, 0.4, *(self.eighths if r.random() < 0.6 else self.steps))

    def _rock(self) -> None:
        r = self.r
        fixed = (0, 2) if self.n == 4 and r.random() < 0.7 else (0,)
        self.kicks(r.uniform(0.1, 0.45), *fixed)
        self.put(SNARE, 0.9, *self.back)
        self.hats("8 8 4 16")
        if r.random() < 0.3:
            self.ghosts(0.08)

    _pop = _rock

    def _half(self) -> None:
        self.back = [float(self.n // 2)] if self.n > 2 else [1.0]
        self.kicks(0.3, 0)
        self.put(SNARE, 0.95, *self.back)
        self.hats("8 4 16")

    _traphalf = _half

    def _double(self) -> None:
        self.put(KICK, 0.9, *self.beats)
        self.put(SNARE, 0.85, *self.offs)
        self.hats("4 8")

    def _toms(self) -> None:
        for a in self.eighths:
            self.put(self.r.choice([41, 45, 48]), 0.55 + 0.3 * (a % 1 == 0), a)
        self.put(KICK, 0.9, 0, *([2] if self.n > 3 else []))
        self.put(SNARE, 0.8, *self.back)

    def _ballad(self) -> None:
        self.kicks(0.12, 0)
        self.put(self.r.choice([SNARE, RIM]), 0.75, *self.back)
        self.hats("8 4 16" if self.div == 4 else "16 8")

    def _dnb(self, ghosts: float = 0.08) -> None:
        r = self.r
        self.put(KICK, 0.95, 0, 2.5 if r.random() < 0.8 else 1.75)
        self.put(SNARE, 0.95, 1, 3)
        self.put(SNARE, 0.3, *(a for a in self.steps if r.random() < ghosts))
        self.hats("8 16 8")

    def _break(self) -> None:
        self._dnb(0.22)

    def _boombap(self) -> None:
        self.kicks(0.35, 0)
        self.put(SNARE, 0.9, *self.back)
        self.hats("8 8 16")
        if self.r.random() < 0.4:
            self.ghosts(0.08)

    def _trap(self) -> None:
        r = self.r
        if r.random() < 0.6:
            self.back = [2.0]
            self.kicks(0.3, 0)
            self.put(CLAP, 0.9, 2)
        else:
            self.kicks(0.3, 0)
            self.put(SNARE, 0.9, *self.back)
        self.put(HAT, 0.55, *self.eighths)
        for k in self.beats:
            if r.random() < 0.3:
                parts = r.choice([4, 6, 8])
                self.put(HAT, 0.4, *(k + j / parts for j in range(4)))

    def _funk(self) -> None:
        self.kicks(0.4, 0)
        self.put(SNARE, 0.9, *self.back)
        self.ghosts(0.2)
        self.hats("16 8 16")

    def _reggae(self, *kicks: float) -> None:
        self.put(KICK, 0.9, *kicks)
        self.put(self.r.choice([RIM, SNARE]), 0.8, *([2] if self.n == 4 else [1]))
        self.hats("8 off")

    def _onedrop(self) -> None:
        self._reggae(2 if self.n == 4 else 1)

    def _rockers(self) -> None:
        self._reggae(0, 2)

    def _steppers(self) -> None:
        self._reggae(*self.beats)

    def _clave(self, key: int) -> None:
        figures = ((0, 0.75, 1.5, 2.5, 3), (0.5, 1, 2, 2.75, 3.5), (0, 0.75, 1.5, 2.5, 3.25))
        self.put(key, 0.7, *self.r.choice(figures))

    def _salsa(self) -> None:
        self._clave(75)
        self.put(self.r.choice([65, 56]), 0.5, 0, 1, 1.5, 2, 2.5, 3, 3.5)
        self.put(63, 0.6, 1, 3)
        self.put(64, 0.6, 3.5, 1.5)
        self.put(KICK, 0.7, 1.5, 3)

    def _reggaeton(self) -> None:
        self._clave(RIM)
        self.put(KICK, 1, *self.beats)
        self.put(SNARE, 0.85, 0.75, 1.5, 2.75, 3.5)
        self.put(HAT, 0.4, *self.eighths)

    def _bossa(self) -> None:
        self._clave(RIM)
        self.put(KICK, 0.75, *(k + j for k in self.beats for j in (0, 0.75)))
        self.put(HAT, 0.45, *self.eighths)

    def _samba(self) -> None:
        self._clave(RIM)
        self.put(KICK, 0.75, *(k + j for k in self.beats for j in (0, 0.75)))
        self.put(HAT, 0.45, *self.steps)
        self.put(41, 0.8, 1, 3)
        self.put(70, 0.4, *self.steps)

    def _ride(self) -> None:
        r = self.r
        self._jazz_time(RIDE, 0.6)
        self.put(PEDAL, 0.5, *self.back)
        if r.random() < 0.6:
            self.put(KICK, 0.35, *self.beats)
        for a in self.eighths:
            if r.random() < 0.15:
                self.put(r.choice([SNARE, SNARE, KICK]), r.uniform(0.25, 0.7), a)

    def _jazz_time(self, key: int, velocity: float) -> None:
        skips = [k + 0.5 for k in self.beats if k % 2 or self.r.random() < 0.2]
        self.put(key, velocity, *self.beats, *skips)

    def _swing(self) -> None:
        self._ride()
        self.put(SNARE, 0.6, *self.back)

    def _brushes(self) -> None:
        self._jazz_time(SNARE, 0.35)
        self.put(PEDAL, 0.5, *self.back)
        if self.r.random() < 0.6:
            self.put(KICK, 0.35, *self.beats)

    def _shuffle(self) -> None:
        self.put(KICK, 0.9, 0, *([2] if self.n == 4 else []))
        self.put(SNARE, 0.9, *self.back)
        self.put(self.r.choice([HAT, RIDE]), 0.6, *self.beats, *self.offs)

    def _train(self) -> None:
        self._boomchick_feet()
        grid = self.steps if self.r.random() < 0.5 else self.eighths
        self.put(SNARE, 0.35, *(a for a in grid if a not in self.back))

    def _boomchick_feet(self) -> None:
        self.put(KICK, 0.85, *(k for k in self.beats if k not in self.back))
        self.put(SNARE, 0.75, *self.back)

    def _boomchick(self) -> None:
        self._boomchick_feet()
        self.hats("8 off 4")

    def _blast(self) -> None:
        self.put(KICK, 0.9, *self.eighths)
        self.put(SNARE, 0.8, *(self.eighths if self.r.random() < 0.5 else self.offs))
        self.put(self.r.choice([CRASH, RIDE, OPEN, HAT]), 0.6, *self.beats)

    def _metal(self) -> None:
        r = self.r
        some = (
            self.steps
            if r.random() < 0.4
            else [a for a in self.steps if r.random() < 0.5 or a == 0]
        )
        self.put(KICK, 0.9, *some)
        self.put(SNARE, 0.95, *self.back)
        self.put(r.choice([CRASH, RIDE, OPEN, HAT]), 0.6, *self.beats)

    def _waltz(self) -> None:
        self.put(KICK, 0.8, 0)
        self.put(self.r.choice([SNARE, RIM, HAT]), 0.6, *self.beats[1:])
        if self.r.random() < 0.4:
            self.put(RIDE, 0.4, *self.beats)

    def _polka(self) -> None:
        two = self.n == 2
        self.put(KICK, 0.9, *(self.beats if two else (0, 2)))
        self.put(SNARE, 0.6, *(self.offs if two else (1, 3)))

    def _march(self) -> None:
        self._polka()
        self.put(SNARE, 0.35, *(a for a in self.steps if self.r.random() < 0.4))

    def _timpani(self) -> None:
        r = self.r
        key = r.choice([43, 45, 48])
        self.put(key, 0.8, 0)
        self.put(
            key if r.random() < 0.5 else key - 5 if key > 45 else key + 5,
            0.6,
            *(a for a in self.eighths[1:] if r.random() < 0.2),
        )
        if self.open_hats:
            self.put(KICK, 0.8, 0)
            self.put(SNARE, 0.4, *(a for a in self.eighths if r.random() < 0.5))

    def _shaker(self) -> None:
        grid = self.steps if self.r.random() < 0.5 else self.eighths
        self.put(82 if self.r.random() < 0.3 else 70, 0.5, *grid)
        self.put(KICK, 0.5, 0)


def backbeats(r: random.Random, n: int) -> list[int]:
    """Beats (from 0) that the snare marks in a bar of `n`."""
    options = {
        2: [[1]],
        3: [[1, 2], [2], [1]],
        4: [[1, 3]],
        5: [[1, 3], [2, 4], [3]],
        7: [[1, 3, 5], [2, 5], [2, 4, 6]],
    }
    return r.choice(options.get(n, [[k for k in range(n) if k % 2]]))


def thin(bar: list[Hit], kind: str) -> list[Hit]:
    """Reduce a bar for a quiet section to ``hats``, ``kick`` (with hats) or ``rim``."""
    cymbals = (HAT, PEDAL, RIDE, 70, 82)
    keep = {"hats": cymbals, "kick": (KICK, HAT), "rim": (KICK, RIM, SNARE, HAT)}[kind]
    return [
        Hit(h.at, RIM if kind == "rim" and h.key == SNARE else h.key, h.velocity * 0.75)
        for h in bar
        if h.key in keep
    ]
