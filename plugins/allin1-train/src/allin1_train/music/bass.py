"""Bass lines in many styles."""

import math
import random

from allin1_train.music.chance import Chance
from allin1_train.music.rhythm import offbeat, rhythm
from allin1_train.music.score import Bar, Track

#: Density, syncopation and length of the drawn rhythms.
DRAWN = {"kick": (0.45, 0.25, 0.9), "syncop": (0.55, 0.6, 0.9), "funk": (0.7, 0.6, 0.5)}


def bass_track(
    chance: Chance, bars: list[Bar], track: Track, style: str, div: int, start: float
) -> None:
    """Write the bass into every bar of at least the energy `start`."""
    q = chance("bass")
    low = q.choice([28, 31, 33, 36])
    for i, bar in enumerate(bars):
        if bar.energy < start or (bar.label == "intro" and q.random() < 0.05):
            continue
        for j, chord in enumerate(bar.chords):
            more = j + 1 < len(bar.chords)
            stop = bar.chords[j + 1].offset if more else bar.n
            following = bar.chords[j + 1] if more else bars[(i + 1) % len(bars)].chords[0]
            line = Line(chance("bassbar", bar.material, bar.index % 4, j), track, low, div)
            line.bar, line.root, line.intervals = bar, chord.root, chord.intervals
            line.next_root, line.offset, line.width = (
                following.root,
                chord.offset,
                stop - chord.offset,
            )
            if style == "riffbass":
                line.riff(chance("bassriff", bar.material))
            else:
                line.play(style)
        if bar.index == bar.count - 1 and q.random() < 0.25:
            up = low + (bar.chords[-1].root - low) % 12 + 2
            track.add(bar.at + bar.n - 0.5, 0.45, up, 0.75)


class Line:
    """The bass under one chord."""

    bar: Bar
    root: int
    next_root: int
    intervals: tuple[int, ...]
    offset: float
    width: float

    def __init__(self, r: random.Random, track: Track, low: int, div: int) -> None:
        self.r, self.track, self.low, self.div = r, track, low, div
        self.off = offbeat(div)

    def add(self, at: float, length: float, pitch: float, velocity: float = 0.8) -> None:
        """Add a note at an offset in the bar."""
        self.track.add(self.bar.at + at, length, pitch, velocity)

    def degree(self, pitch_class: int) -> int:
        """Pitch of a class in the octave of the bass."""
        return self.low + (pitch_class - self.low) % 12

    def riff(self, r: random.Random) -> None:
        """The same figure in every bar, transposed with the chord: strong on its first beat."""
        p = self.degree(self.root)
        steps = [0, 0, 0, 12, 7, 10, -5]
        for k, (a, d) in enumerate(rhythm(r, max(1, int(self.width)), self.div, 0.6, 0.5)):
            step = 0 if k == 0 else r.choice(steps)
            self.add(self.offset + a, min(d, 1) * 0.85, p + step, 0.95 if a == 0 else 0.7)

    def play(self, style: str) -> None:
        """Write the line in `style`."""
        r, off, div, offset, width = self.r, self.off, self.div, self.offset, self.width
        p = self.degree(self.root)
        fifth, octave = p + (7 if 7 in self.intervals else 6), p + 12
        beats = [offset + k for k in range(math.ceil(width))]
        if style in ("root", "downbeat"):
            self.add(offset, width * (0.95 if style == "root" else 0.4), p)
        elif style == "long" or (style == "pedal" and self.bar.index % 2 == 0):
            self.add(offset, width, p)
        elif style == "pedal":
            pass
        elif style == "quarters":
            for a in beats:
                self.add(a, 0.85, p, 0.85 if a == 0 else 0.75)
        elif style == "eighths":
            for a in beats:
                self.add(a, 0.45, p)
                self.add(a + off, 0.45, p, 0.68)
        elif style == "sixteenths":
            for a in beats:
                for k in range(div):
                    self.add(a + k / div, 0.22, p + 12 * (r.random() < 0.12), 0.6 if k else 0.8)
        elif style == "gallop":
            for a in beats:
                for o in (0.25, 0.5, 0.75) if div == 4 else (1 / 3, 2 / 3):
                    self.add(a + o, 0.22, p, 0.75)
        elif style == "offbeat":
            for a in beats:
                self.add(a + off, 0.4, p)
        elif style == "octave":
            for a in beats:
                self.add(a, 0.45, p)
                self.add(a + off, 0.4, octave, 0.7)
        elif style == "dotted":
            at = 0.0
            while at < width - 0.2:
                self.add(
                    offset + at, 0.5, p if r.random() < 0.8 else octave, 0.7 if at % 1 else 0.85
                )
                at += 0.75
        elif style in ("fifths", "twofeel"):
            length = 1.6 if style == "twofeel" else 0.8
            for k, a in enumerate(beats[::2] if self.bar.n > 3 else beats):
                other = fifth if r.random() < 0.8 else octave
                self.add(a, length, p if k % 2 == 0 else other)
        elif style == "walking":
            self._walk(p, beats)
        elif style == "boogie":
            third = 4 if 4 in self.intervals else 3
            for a, up in zip(beats, (0, third, 7, 9) * 2, strict=False):
                self.add(a, 0.45, p + up)
                self.add(a + off, 0.45, p + up)
        elif style == "reggae":
            third = 3 if 3 in self.intervals else 4
            for a, d in rhythm(r, max(1, int(width)), div, 0.45, 0.4):
                self.add(offset + a, d * 0.9, p + r.choice([0, 0, 7, third]))
        elif style == "tumbao":
            if width > 2:
                self.add(offset + 1.5, 1.2, fifth)
            self.add(offset + width - 1, 0.95, self.degree(self.next_root))
        else:
            density, syncopation, length = DRAWN[style]
            for a, d in rhythm(r, max(1, int(width)), div, density, syncopation):
                pitch = p if r.random() < 0.7 else r.choice([octave, fifth, p + 10])
                self.add(offset + a, min(d, 2) * length, pitch, 0.85 if a % 1 == 0 else 0.7)

    def _walk(self, p: int, beats: list[float]) -> None:
        r = self.r
        steps = [*self.intervals, 2, 5, 9, 12]
        approach = self.degree(self.next_root) + r.choice([-1, 1, 2, -2])
        line = [p, *(p + r.choice(steps) for _ in beats[1:-1]), approach]
        for a, pitch in zip(beats, line, strict=False):
            self.add(a, 0.9, pitch)
        if r.random() < 0.25:
            self.add(r.choice(beats) + 0.5, 0.3, p, 0.6)
