"""The instruments of a song, and the notes that they play."""

import random

from allin1_train.music.bass import bass_track
from allin1_train.music.comping import Comping
from allin1_train.music.drums import drum_track, percussion
from allin1_train.music.genres import PROGRAMS
from allin1_train.music.melody import Melody, harmonised
from allin1_train.music.sketch import Sketch
from allin1_train.music.transitions import transitions


def draw_sound(q: random.Random, names: str) -> str:
    """Draw one of the names; for a family of instruments, also draw a program."""
    name = q.choice(names.split())
    return name if name.startswith("s:") or name == "none" else f"gm:{q.choice(PROGRAMS[name])}"


def add_instruments(sketch: Sketch) -> None:
    """Add drums, bass, accompaniment, melodies and effects, as if all played throughout."""
    chance, genre, bars, div = sketch.chance, sketch.genre, sketch.bars, sketch.div
    q = chance("styles")
    groove = q.choice(genre.grooves.split())
    if groove in ("half", "traphalf") and not 88 <= sketch.bpm <= 155:
        groove = "rock"
    if groove == "double" and sketch.bpm < 95:
        groove = "rock"
    if q.random() < 0.05:
        groove = "none"
    kit = q.choice(genre.kits.split())
    if groove != "none":
        sound = {"s": "kits", "c": "kits:chip"}.get(kit, "kit:" + kit[2:])
        drums = sketch.track("drums", sound, 0, q.uniform(0.7, 1.25))
        drum_track(chance, bars, drums, groove, div, genre, sketch.clear)
        if q.random() < 0.3:
            sound = "kit:0" if q.random() < 0.6 and kit != "c" else "kits"
            percussion(chance, bars, sketch.track("perc", sound, q.uniform(-0.6, 0.6), 0.5), div)
    sound, style = draw_sound(q, genre.bass[0]), q.choice(genre.bass[1].split())
    starts = q.choice([0.05, 0.2, 0.3, 0.4])
    if sound != "none" and style != "none":
        bass_track(
            chance, bars, sketch.track("bass", sound, 0, q.uniform(0.7, 1.2)), style, div, starts
        )
    for part in genre.parts:
        p = chance("comp", part.role)
        if p.random() > part.probability:
            continue
        pan, gain = p.uniform(-0.7, 0.7), p.uniform(0.35, 0.75)
        track = sketch.track(part.role, draw_sound(p, part.sounds), pan, gain)
        calm = p.choice(part.styles.split())
        loud = p.choice(part.styles.split()) if sketch.clear and p.random() < 0.6 else calm
        start = max(0, part.start + p.uniform(-0.1, 0.1))
        Comping(chance, track, part.role, (calm, loud), div, start).play(bars)
    _melodies(sketch, q)
    if genre.electronic or q.random() < 0.12:
        track = sketch.track("fx", "noise", 0, q.uniform(0.3, 0.8))
        transitions(chance, bars, track, genre.electronic)


def _melodies(sketch: Sketch, q: random.Random) -> None:
    chance, genre, bars, div, clear = (
        sketch.chance, sketch.genre, sketch.bars, sketch.div, sketch.clear
    )  # fmt: skip
    voiced = q.random() < genre.voice
    lead_sound = draw_sound(q, genre.leads)
    if voiced:
        stand_in = q.random()
        if stand_in < 0.85:
            sound = "voice"
        elif stand_in < 0.92:
            sound = f"gm:{q.choice((*PROGRAMS['choir'], 54, 85))}"
        else:
            sound = draw_sound(q, genre.leads + " wind sax solo_str")
        voice = sketch.track("voice", sound, q.uniform(-0.1, 0.1), q.uniform(0.8, 1.4))
        register = q.choice([50, 53, 57, 60, 62, 65])
        rap = sketch.name in ("hiphop", "trap") and q.random() < 0.5
        Melody(chance, voice, "voice", div, register, rap, clear).play(
            bars, {"verse", "chorus", "bridge"}
        )
        if q.random() < (0.65 if clear else 0.35):
            spans = [(b.at, b.at + b.n) for b in bars if b.label == "chorus"]
            backing = sketch.track("backing", sound, q.uniform(-0.6, 0.6), 0.5)
            for note in harmonised(voice, bars[0].tonic, bars[0].scale, spans):
                backing.add(*note)
    lead = sketch.track("lead", lead_sound, q.uniform(-0.3, 0.3), q.uniform(0.6, 1))
    where = {"inst", "solo"}
    for label, probability in (("intro", 0.35), ("outro", 0.25), ("break", 0.15)):
        if q.random() < probability:
            where.add(label)
    forms = {s.label for s in sketch.sections}
    if not voiced:
        where |= {"verse", "chorus", "bridge"}
        if clear and forms & {"verse", "chorus"} and q.random() < 0.8:
            where.discard("inst")  # instrumental sections have no melody
        if clear and q.random() < 0.5:  # the theme's other half has another instrument
            where.discard(q.choice(["chorus", "bridge"]))
    register = 69 if sketch.name == "piano" else q.choice([60, 65, 69, 72])
    melody = Melody(chance, lead, "lead", div, register, False, clear)
    melody.hook = voiced and clear and q.random() < 0.4
    melody.play(bars, where)
    if not voiced and ("chorus" not in where or "bridge" not in where or q.random() < 0.5):
        other = sketch.track(
            "lead2",
            draw_sound(q, genre.leads + ("" if genre.leads == "s:chip" else " mallet strings")),
            q.uniform(-0.4, 0.4),
            0.7,
        )
        Melody(chance, other, "lead2", div, 70, False, clear).play(
            bars, {"chorus", "solo", "bridge"} - (where & {"bridge"})
        )
