"""Parts that mark the beat where the drums pause: gates, and additional accompaniment."""

from bisect import bisect_right

import numpy as np

from allin1_train.music.between import gate_between, lie_between
from allin1_train.music.chance import Chance
from allin1_train.music.comping import HELD, Comping
from allin1_train.music.instruments import draw_sound
from allin1_train.music.score import Bar, Track
from allin1_train.music.sketch import Sketch
from allin1_train.music.timing import TempoMap

PULSES = ("quarters", "eighths", "arp", "arp16", "ostinato", "broken", "gate")
#: A gate's sixteenths: on, accented, or off.
GATES = (
    (1, 0, 1, 0), (1, 1, 0, 1), (1, 0, 0.7, 0.7), (1, 0.3, 0.6, 0.3), (0, 1, 0, 1), (1, 0.6, 0.8, 0.6),
    (1, 0, 0.8, 1, 0, 0.8, 1, 0), (1, 0, 0, 1, 0, 0, 1, 0), (1, 0.8, 0, 1, 0, 1, 0.8, 0),
    (1, 0, 1, 1, 0, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0), (1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0, 1, 0),
)  # fmt: skip


def mark_the_beat(sketch: Sketch) -> None:
    """Mark the beat where the drums pause, by a gate or an additional accompaniment.

    Passages in which the beat is deliberately ambiguous, or whose accents are between the beats, are not changed.
    """
    chance, genre, bars = sketch.chance, sketch.genre, sketch.bars
    q = chance("pulse")
    drummed = sections_with(bars, sketch.find("drums")) | sections_with(bars, sketch.find("perc"))
    bare = {bar.section for bar in bars} - drummed
    between = lie_between(sketch, bare)
    gated = sketch.gated
    held = [
        t
        for t in sketch.tracks
        if t.role in ("pad", "pad2", "strings", "keys", "stab", "va", "gtr") and t.raw
    ]
    if sketch.div == 4:
        for track in held:
            if q.random() < genre.gate:
                kind = q.choice(["bare", "bare", "all", "one"])
                every = {bar.section for bar in bars}
                if kind == "one":
                    every = {q.choice(sorted(every))}
                gated.setdefault(track.role, set(bare) - between if kind == "bare" else every)
    share = marked(bars, sketch.tracks)
    weak = {s for s in bare - between if share[s] < 0.6}
    weak -= {s for sections in gated.values() for s in sections}
    often = 0.65 if genre.electronic else 0.85 if genre.human < 0.01 else 0.75
    always = 0.75 if genre.electronic else 1.0  # probability if nothing else marks it
    weak = {s for s in sorted(weak) if q.random() < max(often, always * (share[s] < 0.05))}
    if not weak:
        return
    pads = [t for t in held if t.role in ("pad", "pad2", "strings", "va")]
    if pads and sketch.div == 4 and q.random() < (0.35 if genre.gate else 0.05):
        gated[pads[0].role] = gated.get(pads[0].role, set()) | weak
        return
    sounds = " ".join(p.sounds for p in genre.parts if p.styles not in HELD) or "piano"
    pulse = sketch.track("pulse", draw_sound(q, sounds), q.uniform(-0.6, 0.6), q.uniform(0.4, 0.8))
    style = q.choice(PULSES)
    part = Comping(chance, pulse, "pulse", (style, style), sketch.div, 0)
    for bar in bars:
        if bar.section in weak:
            part.bar(bar, style)


def time_gates(sketch: Sketch, tempo: TempoMap) -> None:
    """Convert the gates to seconds."""
    for role, sections in sketch.gated.items():
        track = sketch.find(role)
        if track is None:
            continue
        draw = gate_between if role in sketch.late else gate_pattern
        pattern = draw(sketch.chance, role)
        times, levels = [0.0], [1.0]
        for bar in sketch.bars:
            if bar.section in sections:
                steps = np.arange(4 * bar.n)
                times += tempo(bar.at + steps / 4).tolist()
                levels += [pattern[k % len(pattern)] for k in steps]
            elif levels[-1] < 1 or len(levels) > 1:
                times.append(float(tempo(bar.at)))
                levels.append(1.0)
        track.gate = np.array([times, levels]).T


def marked(bars: list[Bar], tracks: list[Track]) -> dict[int, float]:
    """For every section, the fraction of its beats on which a note starts."""
    onsets = {round(note.at * 12) for t in tracks if t.role != "fx" for note in t.raw}
    share: dict[int, list[bool]] = {}
    for bar in bars:
        beats = [round((bar.at + k) * 12) in onsets for k in range(bar.n)]
        share.setdefault(bar.section, []).extend(beats)
    return {s: float(np.mean(x)) for s, x in share.items()}


def sections_with(bars: list[Bar], track: Track | None) -> set[int]:
    """Sections in which `track` has at least one note per two bars."""
    if track is None:
        return set()
    starts = [bar.at for bar in bars]
    counts: dict[int, int] = {}
    for note in track.raw:
        bar = bars[max(0, bisect_right(starts, note.at + 1e-6) - 1)]
        counts[bar.section] = counts.get(bar.section, 0) + 1
    sizes = {bar.section: bar.count for bar in bars}
    return {s for s, n in counts.items() if n * 2 >= sizes[s]}


def gate_pattern(chance: Chance, role: str) -> tuple[float, ...]:
    """Sixteenths of a gate, 4, 8 or 16 of them."""
    q = chance("gate", role)
    return tuple(float(x) for x in q.choice(GATES))
