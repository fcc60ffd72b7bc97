"""Passages whose accents are between the beats: stabs and pads on the off-beat, dotted figures, anticipated chords.

In electronic music, such a passage is common before the drums enter, or where they pause; its parts continue when the
drums return, which reveals the position of the beat.
"""

from allin1_train.music.chance import Chance
from allin1_train.music.comping import HELD, Comping
from allin1_train.music.instruments import draw_sound
from allin1_train.music.score import Bar, Note, Track
from allin1_train.music.sketch import Sketch

#: Styles of accompaniment whose notes mostly miss the beats.
STYLES = ("offbeat", "late", "late", "dotted", "dotted", "pushed", "between", "between")
#: Parts that do not play in such a passage, apart from sustained ones.
ROLES = ("bass", "keys", "arp", "stab", "gtr", "gtr2", "pulse", "horns", "hp", "organ")
SOUNDS = "s:pad s:supersaw s:saw s:pluck s:bell s:fm piano ep pad strings"


def lie_between(sketch: Sketch, bare: set[int]) -> set[int]:
    """Turn some sections without drums into such passages, and return them.

    Parameters
    ----------
    sketch
        The song, arranged.
    bare
        Its sections without drums.
    """
    genre, chance = sketch.genre, sketch.chance
    q = chance("between")
    often = 0.6 if genre.electronic else 0.2 if genre.gate or genre.pump else 0.06
    if sketch.div != 4 or q.random() > often:
        return set()
    # In songs without drums, other sections must establish the beat.
    share = 0.75 if len(bare) < len(sketch.sections) else 0.35
    sections = {s for s in sorted(bare) if q.random() < share}
    goes_on = q.random() < 0.6
    if not sections and not goes_on:
        return set()
    for track in sketch.tracks:
        if track.role in ROLES and q.random() < 0.75:
            track.raw = _outside(track, sketch.bars, sections)
    pads = [t for t in sketch.tracks if t.role in ("pad", "pad2", "strings") and t.raw]
    if pads and q.random() < 0.35:
        role = q.choice(pads).role
        sketch.gated[role] = (
            set(range(len(sketch.sections))) if goes_on and q.random() < 0.5 else set(sections)
        )
        sketch.late.add(role)
        if q.random() < 0.6:
            return sections
    if genre.electronic:
        sounds = SOUNDS
    else:
        sounds = " ".join(p.sounds for p in genre.parts if p.styles not in HELD) or "piano"
    for k in range(q.choice([1, 1, 1, 2])):
        role = f"between{k}"
        track = sketch.track(role, draw_sound(q, sounds), q.uniform(-0.6, 0.6), q.uniform(0.5, 1.1))
        style = q.choice(STYLES)
        part = Comping(chance, track, role, (style, style), sketch.div, 0)
        everywhere = goes_on and q.random() < 0.8
        late_start = q.choice([0, 0, 0, 4, 8])
        for bar in sketch.bars:
            if (bar.section in sections and bar.index >= min(late_start, bar.count // 2)) or (
                everywhere and bar.section not in bare
            ):
                part.bar(bar, style)
    return sections


def _outside(track: Track, bars: list[Bar], sections: set[int]) -> list[Note]:
    """The notes of a track that begin outside of `sections`."""
    spans = [(bar.at, bar.at + bar.n) for bar in bars if bar.section in sections]
    return [x for x in track.raw if not any(a - 1e-6 <= x.at < b - 1e-6 for a, b in spans)]


def gate_between(chance: Chance, role: str) -> tuple[float, ...]:
    """Sixteenths of a gate that opens between the beats."""
    return chance("gate between", role).choice(
        [
            (0.0, 0.0, 1.0, 1.0),
            (0.0, 0.0, 1.0, 0.0),
            (0.0, 0.3, 1.0, 0.7),
            (0.15, 0.15, 1.0, 1.0),
            (0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0),
            (0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0),
            (0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0),
        ]
    )
