"""Melodies: phrases from motifs of the section's material, which are repeated with it."""

import random

from allin1_train.music.chance import Chance
from allin1_train.music.harmony import near
from allin1_train.music.rhythm import rhythm
from allin1_train.music.score import Bar, Track

DENSITY = {"verse": 0.55, "chorus": 0.55, "bridge": 0.4}
SHAPES = ("AABA", "ABAB", "ABAC", "AAAB", "ABCD")
HOOKS = ("AABA", "AAAB", "ABAB", "AABB")


class Melody:
    """A singer or lead instrument.

    Parameters
    ----------
    chance
        The song's streams.
    track
        Receives the notes.
    role
        Name of the part: its motifs are its own.
    div
        Steps of a beat.
    register
        Pitch around which it moves.
    rap
        Whether it speaks, on narrow pitches and every step.
    clear
        Whether verses and choruses keep to conventions: choruses are higher, longer, more
        repetitive and always equal; verses have more syllables and other words each time.
    """

    def __init__(
        self,
        chance: Chance,
        track: Track,
        role: str,
        div: int,
        register: int,
        rap: bool,
        clear: bool,
    ) -> None:
        self.chance, self.track, self.role, self.div = chance, track, role, div
        self.register, self.rap, self.clear = register, rap, clear
        self.q = chance("melody", role)
        self.vary = self.q.uniform(0, 0.3)
        self.hook = False  # whether instrumental sections repeat the chorus's melody
        self.lift = self.q.choice([5, 5, 5, 4, 7, 2]) if clear else 5

    def play(self, bars: list[Bar], where: set[str]) -> None:
        """Write the melody into the bars whose label is in `where`."""
        for i, bar in enumerate(bars):
            if bar.label not in where:
                continue
            self._bar(i, bar)
            following = bars[i + 1] if i + 1 < len(bars) else None
            new = following is not None and following.section != bar.section
            if new and following.label in where and self.q.random() < 0.3:  # type: ignore[union-attr]
                for k, x in enumerate((7, 9)):
                    pitch = self.register + (bar.tonic + x - self.register) % 12
                    self.track.add(bar.at + bar.n - 1 + k * 0.5, 0.45, pitch, 0.65)

    def _rhythm(
        self, m: random.Random, w: random.Random, bar: Bar, solo: bool
    ) -> list[tuple[float, float]]:
        density = DENSITY.get(bar.label, 0.5) + m.uniform(-0.12, 0.15)
        if self.clear and self.role == "voice":
            density += {"verse": 0.1, "chorus": -0.08, "bridge": -0.1}.get(bar.label, 0)
        if solo:
            density = max(0.85, density + 0.3) if self.clear else density + 0.25
        fine = self.rap or solo or m.random() < 0.5
        steps = self.div if fine else (2 if self.div == 4 else 3)
        onsets = rhythm(w, bar.n, steps, 0.95 if self.rap else density, 0.35)
        if w.random() < 0.3 and len(onsets) > 2:
            onsets = onsets[1:] if w.random() < 0.5 else onsets[:-1]
        if bar.index % 4 == 3 and not solo and not self.rap:  # a breath ends the phrase
            onsets = [x for x in onsets if x[0] < bar.n * 0.6] or onsets[:1]
        return onsets

    def _bar(self, i: int, bar: Bar) -> None:
        solo = bar.label == "solo" and self.role != "voice"
        name = bar.label if self.role == "voice" else bar.material
        if bar.label == "solo":
            name = f"solo{bar.section}"
        if self.hook and bar.label == "inst":
            name = "chorus"
        m = self.chance("motif", self.role, name)
        shape = m.choice(HOOKS if self.clear and name == "chorus" else SHAPES)
        letter = str(bar.index) if solo else shape[bar.index % 4]
        w = self.chance("motifbar", self.role, name, letter)
        high = self.register + (self.lift if bar.label == "chorus" else 0) + (3 if solo else 0)
        onsets = self._rhythm(m, w, bar, solo)
        degree = m.randrange(7)
        extra = self.chance("vary", self.role, i)
        vary = self.vary
        if self.clear:
            vary = 0.02 if bar.label == "chorus" else 0.9 if bar.nth > 1 else self.vary
        length = 0.95 if self.clear and bar.label == "chorus" else 0
        for a, d in onsets:
            chord = next((x for x in reversed(bar.chords) if x.offset <= a), bar.chords[0])
            degree += w.choice([-2, -1, -1, 0, 0, 1, 1, 2, w.choice([-4, 3, 4])])
            degree = max(-3, min(10 if solo else 8, degree))
            pitch = high - 7 + (bar.tonic - high) % 12 + 12 * (degree // 7) + bar.scale[degree % 7]
            if a % 1 == 0 and w.random() < 0.6:  # a chord tone on a strong beat
                tones = [
                    near(chord.root + x, high - 1) + o for x in chord.intervals for o in (0, 12)
                ]
                pitch = min(tones, key=lambda x, p=pitch: abs(x - p))  # type: ignore[misc]
            if self.rap:
                pitch = self.register + w.choice([0, 0, 0, 1, 2, -1, -3])
            held = w.choice([0.95, 0.95, 0.7, 0.5])
            if extra.random() < vary * 0.3:
                continue
            pitch += (extra.random() < vary * 0.15) * extra.choice([2, -2, 3])
            level = 0.6 + 0.25 * bar.energy + 0.05 * (a % 1 == 0)
            self.track.add(
                bar.at + a, min(d, 3.0 if length else 2.5) * max(held, length), pitch, level
            )


def harmonised(
    track: Track, tonic: int, scale: tuple[int, ...], spans: list[tuple[float, float]]
) -> list[tuple[float, float, float, float]]:
    """The notes of `track` that lie in `spans` (beats), a third higher within the scale."""
    out = []
    for at, length, pitch, velocity in track.raw:
        if any(a <= at < b for a, b in spans):
            third = 4 if (int(pitch) + 4 - tonic) % 12 in scale else 3
            out.append((at, length, pitch + third, velocity * 0.7))
    return out
