"""Accompaniment: chords strummed, struck, arpeggiated or held."""

import math
import random

from allin1_train.music.chance import Chance
from allin1_train.music.harmony import near, voicing
from allin1_train.music.rhythm import offbeat, rhythm
from allin1_train.music.score import Bar, Chord, Track

#: Density, syncopation and length of chords on drawn rhythms.
DRAWN = {
    "stabs": (0.3, 0.35, 0.3), "syncop": (0.45, 0.8, 0.3), "comp": (0.3, 0.6, 0.5),
    "montuno": (0.75, 0.6, 0.4), "bossa": (0.4, 0.6, 0.6),
}  # fmt: skip
STRUMS = (
    (0, 1, 1.5, 2.5, 3, 3.5),
    (0, 1, 2, 2.5, 3, 3.5),
    (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5),
    (0, 1.5, 2, 3, 3.5),
)
#: Styles that leave the beat unmarked.
HELD = ("sustain",)


class Comping:
    """One accompanying part of a song.

    Parameters
    ----------
    chance
        The song's streams.
    track
        Receives the notes.
    role
        Name of the part; decides its register.
    styles
        The styles in calm and in loud sections (often the same).
    div
        Steps per beat.
    start
        Minimum energy of sections in which it plays.
    """

    def __init__(
        self,
        chance: Chance,
        track: Track,
        role: str,
        styles: tuple[str, str],
        div: int,
        start: float,
    ) -> None:
        self.chance, self.track, self.role, self.styles = chance, track, role, styles
        self.div, self.start, self.off = div, start, offbeat(div)
        self.q = q = chance("comptrack", role)
        self.centre = 50 if role == "lh" else q.choice([48, 52, 55, 60, 64])
        if role == "arp":
            self.centre += 12
        self.calm_bridge = styles[0] != styles[1] and q.random() < 0.6
        self.stop = q.choice([2, 2, 0.75])
        self.weak = q.uniform(0.55, 0.95)  # level off the beat
        self.masked = {
            label
            for label in ("intro", "verse", "chorus", "bridge", "inst", "solo", "break", "outro")
            if q.random() < 0.12
        }

    def play(self, bars: list[Bar]) -> None:
        """Write all bars in which the part plays."""
        for bar in bars:
            if bar.energy < self.start or bar.energy > self.stop:
                continue
            if bar.label in self.masked and self.start > 0.05:
                continue
            loud = bar.label in ("chorus", "solo") or bar.material == "chorus"
            style = self.styles[loud]
            if self.calm_bridge and bar.label == "bridge":
                style = "sustain"
            if bar.label == "break" and style not in HELD and self.q.random() < 0.3:
                style = "sustain"
            self.bar(bar, style)

    def bar(self, bar: Bar, style: str) -> None:
        """Write one bar in `style`."""
        for j, chord in enumerate(bar.chords):
            stop = bar.chords[j + 1].offset if j + 1 < len(bar.chords) else bar.n
            r = self.chance("compbar", self.role, bar.material, bar.index % 2)
            Strike(self, bar, chord, stop - chord.offset, r).play(style)


class Strike:
    """A part under one chord."""

    def __init__(
        self, part: Comping, bar: Bar, chord: Chord, width: float, r: random.Random
    ) -> None:
        self.part, self.bar, self.width, self.r = part, bar, width, r
        self.offset, self.chord = chord.offset, chord
        self.voices = voicing(chord.root, chord.intervals, part.centre)
        self.level = 0.55 + 0.25 * bar.energy
        self.spread = 0.0
        self.beats = [chord.offset + k for k in range(math.ceil(width))]

    def hit(
        self, at: float, length: float, velocity: float = 1.0, pitches: list[int] | None = None
    ) -> None:
        """A chord at `at`, all voices or those given."""
        for k, pitch in enumerate(pitches or self.voices):
            self.part.track.add(
                self.bar.at + at + k * self.spread, length, pitch, self.level * velocity
            )

    def accent(self, at: float) -> float:
        """Level of a note at `at`: loudest with the chord, weaker off the beat."""
        return 1.0 if at == self.offset else 0.88 if at % 1 < 1e-6 else self.part.weak

    def play(self, style: str) -> None:
        """Write the chord in `style`."""
        div, off, r, offset, width = self.part.div, self.part.off, self.r, self.offset, self.width
        if style in ("strum", "boomchick"):
            self.spread = 0.012
        whole = max(1, int(width))
        if style == "sustain":
            self.hit(offset, width * 0.98)
        elif style == "quarters":
            for k, a in enumerate(self.beats):
                self.hit(a, 0.85, 0.85 if k else 1)
        elif style == "eighths":
            parts = (0, 1 / 3, 2 / 3) if self.bar.n == 2 and div == 3 else (0, off)
            for a in self.beats:
                for o in parts:
                    self.hit(a + o, 0.42, self.accent(a + o))
        elif style in ("power", "chug", "gallop"):
            self._power(style)
        elif style == "strum":
            if self.bar.n == 4 and div == 4:
                pattern: tuple[float, ...] = r.choice(STRUMS)
            else:
                pattern = tuple(
                    k + o for k in range(self.bar.n) for o in (0, off) if not o or r.random() < 0.6
                )
            for a in pattern:
                if offset <= a < offset + width:
                    self.hit(a, 0.5, 1 if a % 1 == 0 else 0.75)
        elif style == "chank":
            struck = {a for a, _ in rhythm(r, whole, div, 0.75, 0.7)}
            for k in range(int(width * div)):
                if k / div in struck or r.random() < 0.3:
                    self.hit(offset + k / div, 0.12, 0.9 if k / div in struck else 0.35)
        elif style in ("offbeat", "bubble"):
            for a in self.beats:
                self.hit(a + off, 0.25)
                if style == "bubble":
                    self.hit(a + 0.25, 0.15, 0.6)
                    self.hit(a + 0.75, 0.15, 0.6)
        elif style in ("late", "dotted", "pushed", "between"):
            self._between(style)
        elif style in DRAWN:
            density, syncopation, length = DRAWN[style]
            for a, d in rhythm(r, whole, div, density, syncopation):
                self.hit(offset + a, min(d, 1) * length + 0.05, 1 if a % 1 == 0 else 0.9)
        elif style == "gate":
            for k in range(int(width * div)):
                if k % 4 != 3 or r.random() < 0.5:
                    self.hit(offset + k / div, 0.8 / div, self.accent(offset + k / div))
        elif style == "charleston":
            if r.random() < 0.7:
                self.hit(offset, 0.6)
                self.hit(offset + 1.5, 0.3)
            else:
                self.hit(offset + r.choice([0.5, 1, 1.5]), 0.8)
        elif style == "oompah":
            for a in self.beats[1:]:
                self.hit(a, 0.4, 0.8)
            self.hit(offset, 0.6, 1, [self.voices[0] - 12])
        elif style == "boomchick":
            for k, a in enumerate(self.beats):
                self.hit(a, 0.4, 0.8, [self.voices[0] - 12] if k % 2 == 0 else None)
        elif style == "boogie":
            for k, a in enumerate(self.beats):
                low = self.voices[0] - 12
                for o in (0, off):
                    self.hit(a + o, 0.4, 0.7 if o else 0.9, [low, low + (9 if k % 2 else 7)])
        elif style == "riff":
            self._riff()
        elif style == "ostinato":
            self._ostinato()
        else:
            self._arpeggio(style)

    def _between(self, style: str) -> None:
        """Chords that mostly miss the beats.

        ``late``: held from each off-beat to the next beat; ``dotted``: every three sixteenths, from the first beat on;
        ``pushed``: an eighth before the chord changes, and half-way; ``between``: a figure of off-beats and sixteenths.
        """
        part, width, offset = self.part, self.width, self.offset
        w = part.chance("between", part.role, self.bar.material)
        if style == "late":
            length = w.choice([0.3, 0.5, 0.5, 0.7])
            every = w.choice([1, 1, 2])
            for a in self.beats[::every]:
                self.hit(a + part.off, length)
        elif style == "dotted":
            bars = w.choice([1, 1, 2, 3])  # the figure repeats after this number of bars
            before = self.bar.index % bars * self.bar.n + offset
            first = w.choice([0, 0, 0.25, 0.5])
            k = math.ceil((before - first) / 0.75 - 1e-6)
            single = [w.choice(self.voices)] if w.random() < 0.5 else None
            while (at := first + 0.75 * k - before) < width - 1e-6:
                self.hit(offset + at, 0.4, 1 if k % 2 == 0 else 0.85, single)
                k += 1
        elif style == "pushed":
            length = w.choice([0.3, 0.5, 1.4])
            if self.bar.at + offset >= 0.5:
                self.hit(offset - 0.5, length)
            for a in [x for x in self.beats[1:] if x % 2 == 0] + [offset + width] * (
                w.random() < 0.3
            ):
                self.hit(a - 0.5, length, 0.9)
        else:
            weights = {0.25: w.choice([0, 0.3, 0.6]), 0.5: 0.85, 0.75: w.choice([0, 0.3, 0.6])}
            length = w.choice([0.12, 0.25, 0.4])
            for k in range(self.bar.n):
                for o, share in weights.items():
                    if w.random() < share and offset <= k + o < offset + width:
                        self.hit(k + o, length, 1 if o == 0.5 else 0.85)

    def _power(self, style: str) -> None:
        div, r = self.part.div, self.r
        low = near(self.chord.root, 42)
        pitches = [low, low + 7, low + 12]
        if style == "power":
            for a, d in rhythm(r, max(1, int(self.width)), div, 0.35, 0.3):
                self.hit(self.offset + a, d * 0.95, 1, pitches)
            return
        steps = (0, 0.25, 0.5, 0.75) if style == "chug" else (0, 0.5, 0.75)
        for a in self.beats:
            for o in steps if div == 4 else (0, 1 / 3, 2 / 3):
                self.hit(a + o, 0.2, 0.75 if o else 1, pitches)

    def _riff(self) -> None:
        part, bar = self.part, self.bar
        w = part.chance("riff", part.role, bar.material, bar.index % 2)
        for a, d in rhythm(w, max(1, int(self.width)), part.div, 0.6, 0.6):
            degree = bar.scale[w.choice([0, 2, 4, 6, 0, 3])]
            pitch = near(bar.tonic + degree, part.centre + 12)
            part.track.add(
                bar.at + self.offset + a, d * 0.9, pitch, self.level * (1 if a == 0 else 0.9)
            )

    def _ostinato(self) -> None:
        """A driving figure on one or two notes, the same in every bar."""
        part, div = self.part, self.part.div
        w = part.chance("ostinato", part.role, self.bar.material)
        groups = (
            w.choice([(3, 3, 2), (4, 4), (2, 1, 1), (3, 3, 2, 2, 2, 2, 2), (4,)])
            if div == 4
            else (3,)
        )
        accents = {
            sum(groups[: k % len(groups)]) + k // len(groups) * sum(groups) for k in range(40)
        }
        upper = self.voices[w.choice([0, 1, -1])]
        sparse = w.random() < 0.3
        for k in range(round(self.width * div)):
            struck = k in accents
            if struck or not sparse:
                pitch = self.voices[0] if struck else upper
                strength = 1 if k == 0 else 0.85 if struck else 0.6
                self.hit(self.offset + k / div, 0.8 / div, strength, [pitch])

    def _arpeggio(self, style: str) -> None:
        """One note at a time: arp, arp16, broken, alberti, finger, and trill (as chips do)."""
        part, div = self.part, self.part.div
        half = 0.5 if div == 4 else 1 / 3
        steps = {
            "arp": half,
            "arp16": 1 / div,
            "broken": half,
            "trill": 0.125 if div == 4 else 1 / 6,
        }
        step = steps.get(style, 0.5)
        if style == "finger" and self.r.random() >= 0.6:
            step = 0.25
        w = part.chance("arp", part.role, self.bar.material)
        pool = [*self.voices, self.voices[0] + 12]
        if w.random() < 0.4:
            pool += [x + 12 for x in self.voices[1:]]
        drawn = w.random() < 0.5
        if style == "alberti":
            order = [0, -1, 1, -1]
        elif style == "broken" and drawn:
            order = [0, 1, 2, 1]
        elif style == "trill":
            order = [0, 1, 2]
        elif drawn:
            order = [w.randrange(len(pool)) for _ in range(w.choice([4, 8, 3, 6, 16]))]
        else:
            order = list(range(len(pool)))
        if style in ("broken", "finger") and w.random() < 0.6:
            self.hit(self.offset, self.width * 0.9, 1, [self.voices[0] - 12])
        length = step * (0.9 if style in ("arp16", "trill") else 1.6)
        rests = w.random() < 0.25 and style == "arp16"
        restart = w.random() < 0.5  # whether the figure restarts in every bar
        begin = 0 if restart else int(self.bar.index * self.width / step)
        for k in range(round(self.width / step)):
            if rests and k % 4 and chance_of(self.part, self.bar, k % 16) < 0.3:
                continue
            at = self.offset + k * step
            pitch = pool[order[(begin + k) % len(order)] % len(pool)]
            self.part.track.add(self.bar.at + at, length, pitch, self.level * self.accent(at))


def chance_of(part: Comping, bar: Bar, step: int) -> float:
    """A number 0…1 that belongs to a step of the part's figure."""
    return part.chance("rests", part.role, bar.material, step).random()
