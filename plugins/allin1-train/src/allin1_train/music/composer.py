"""Composes songs by seed: notes by track, and the truth about beats, downbeats and sections.

A song is a genre (a bundle of parameters), a form (a row of labelled sections), and for every
kind of section a material (progression, groove, motifs) that returns whenever the section does.
Positions are beats of the felt pulse from the first downbeat; a tempo map and a swing turn them
into seconds at the end.
"""

import itertools
import random
from dataclasses import dataclass

import numpy as np

from allin1_train.music.arrangement import Arrangement, gate_pattern, marked, sections_with
from allin1_train.music.bass import bass_track
from allin1_train.music.chance import Chance, weighted
from allin1_train.music.comping import HELD, Comping
from allin1_train.music.drums import drum_track, percussion
from allin1_train.music.forms import form
from allin1_train.music.genres import GENRES, PROGRAMS, SIX_EIGHT, Genre
from allin1_train.music.grooves import HAT, KICK, RIM, SNARE
from allin1_train.music.harmony import DARK, MAJOR, MINOR, POP, chord, is_minor
from allin1_train.music.melody import Melody, harmonised
from allin1_train.music.score import Array, Bar, Chord, Section, Song, Track
from allin1_train.music.timing import TempoMap, perform
from allin1_train.music.transitions import transitions

SLOWEST, FASTEST = 60.0, 182.0
#: Share of songs that keep to the conventions by which sections are told apart.
CLEAR = 0.75
PULSES = ("quarters", "eighths", "arp", "arp16", "ostinato", "broken", "gate")


@dataclass
class Sketch:
    """What the steps of composing share."""

    chance: Chance
    name: str
    genre: Genre
    n: int
    div: int
    bpm: float
    clear: bool
    sections: list[Section]
    bars: list[Bar]
    tracks: list[Track]

    def track(self, role: str, sound: str, pan: float, gain: float) -> Track:
        """Add a track."""
        self.tracks.append(Track(role, sound, pan, gain))
        return self.tracks[-1]

    def find(self, role: str) -> Track | None:
        """The first track of a role, if there is one."""
        return next((t for t in self.tracks if t.role == role), None)


def compose(seed: int) -> Song:
    """Compose the song of a seed: the same seed gives the same song.

    Parameters
    ----------
    seed
        Any integer.
    """
    chance = Chance(seed)
    r = chance("song")
    name = weighted(r, {k: g.weight for k, g in GENRES.items()})
    genre = GENRES[name]
    n, div = weighted(r, genre.metres)
    bpm = _tempo(r, genre, (n, div))
    swing8 = genre.swing8 * r.uniform(0.85, 1.05) if genre.swing8 and r.random() < 0.9 else 0
    swing16 = r.uniform(0.52, 0.67) if r.random() < genre.swing16 else 0
    if div == 3 or swing8 < 0.5:
        swing8 = 0
    tonic, scale = r.randrange(12), MINOR if r.random() < 0.4 else MAJOR
    clear = r.random() < CLEAR
    sections = form(chance, genre.forms, genre.electronic, 60 / bpm * n)
    bars = _bars(chance, genre, sections, n, tonic, scale)
    sketch = Sketch(chance, name, genre, n, div, bpm, clear, sections, bars, [])
    _instruments(sketch)
    arrangement = Arrangement(chance, sections, [t.role for t in sketch.tracks], genre, clear)
    arrangement.apply(bars, sketch.tracks)
    for track in sketch.tracks:
        arrangement.balance(bars, track)
    return _perform(sketch, swing8, swing16, _mark_the_beat(sketch))


def _tempo(r: random.Random, genre: Genre, metre: tuple[int, int]) -> float:
    for _ in range(8):
        bpm = genre.bpm * float(np.exp(r.gauss(0, genre.spread)))
        if SLOWEST <= bpm <= FASTEST:
            break
    bpm = min(FASTEST, max(SLOWEST, bpm))
    if metre == SIX_EIGHT:
        bpm = min(140.0, max(52.0, bpm * r.choice([0.6, 0.75, 0.9])))
    if genre.electronic and r.random() < 0.85:
        bpm = float(round(bpm))
    return bpm


def _bars(
    chance: Chance,
    genre: Genre,
    sections: list[Section],
    n: int,
    tonic: int,
    scale: tuple[int, ...],
) -> list[Bar]:
    r = chance("harmony")
    materials: dict[str, tuple[list[str], int, bool]] = {}
    modulates = r.random() < 0.12
    bridge_shift = r.choice([0, 0, 0, 5, -3, 2])
    odd = r.random() < (0.01 if genre.electronic else 0.05)
    shift, at = 0, 0.0
    bars: list[Bar] = []
    for s, section in enumerate(sections):
        if modulates and section.label == "chorus" and s >= len(sections) - 3:
            shift, modulates = r.choice([1, 2]), False
        if section.material not in materials:
            materials[section.material] = _progression(chance, genre, section.material, n)
        tokens, stretch, halves = materials[section.material]
        t = tonic + shift + (bridge_shift if section.label == "bridge" else 0)
        for b in range(section.bars):
            if halves:
                pair = (tokens[2 * b % 4], tokens[(2 * b + 1) % 4])
                chords = [Chord(k * n / 2, *chord(token, t)) for k, token in enumerate(pair)]
            else:
                chords = [Chord(0, *chord(tokens[b // stretch % len(tokens)], t))]
            size = n
            if odd and b == section.bars - 1 and n > 2 and r.random() < 0.4:
                size += r.choice([-1, 1, n])
            mode = MINOR if is_minor(tokens) else scale
            bars.append(
                Bar(at, size, s, section.label, section.energy, b, section.bars, section.material,
                    section.nth, chords, t % 12, mode)
            )  # fmt: skip
            at += size
    for a, b_ in itertools.pairwise(bars):  # a sudden rest before a section
        if b_.section != a.section and b_.energy > a.energy + 0.1:
            a.silent = chance("rest", a.section).random() < 0.12
    return bars


def _progression(
    chance: Chance, genre: Genre, material: str, n: int
) -> tuple[list[str], int, bool]:
    """Chords, bars a chord, and whether a bar has two of them."""
    q = chance("harmony", material)
    own = material != "bridge" or q.random() < 0.5
    tokens = q.choice(genre.progressions if own else POP + DARK).split()
    stretch = q.choice([1, 1, 1, 2]) if len(tokens) <= 4 else 1
    return tokens, stretch, len(tokens) == 4 and n == 4 and q.random() < 0.15


def _sound(q: random.Random, names: str) -> str:
    name = q.choice(names.split())
    return name if name.startswith("s:") or name == "none" else f"gm:{q.choice(PROGRAMS[name])}"


def _instruments(sketch: Sketch) -> None:
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
    sound, style = _sound(q, genre.bass[0]), q.choice(genre.bass[1].split())
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
        track = sketch.track(part.role, _sound(p, part.sounds), pan, gain)
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
    lead_sound = _sound(q, genre.leads)
    if voiced:
        stand_in = q.random()
        if stand_in < 0.85:
            sound = "voice"
        elif stand_in < 0.92:
            sound = f"gm:{q.choice((*PROGRAMS['choir'], 54, 85))}"
        else:
            sound = _sound(q, genre.leads + " wind sax solo_str")
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
            where.discard("inst")  # what has no melody, then, is instrumental
        if clear and q.random() < 0.5:  # the theme's other half has another instrument
            where.discard(q.choice(["chorus", "bridge"]))
    register = 69 if sketch.name == "piano" else q.choice([60, 65, 69, 72])
    melody = Melody(chance, lead, "lead", div, register, False, clear)
    melody.hook = voiced and clear and q.random() < 0.4
    melody.play(bars, where)
    if not voiced and ("chorus" not in where or "bridge" not in where or q.random() < 0.5):
        other = sketch.track(
            "lead2",
            _sound(q, genre.leads + ("" if genre.leads == "s:chip" else " mallet strings")),
            q.uniform(-0.4, 0.4),
            0.7,
        )
        Melody(chance, other, "lead2", div, 70, False, clear).play(
            bars, {"chorus", "solo", "bridge"} - (where & {"bridge"})
        )


def _mark_the_beat(sketch: Sketch) -> dict[str, set[int]]:
    """Let something mark the beat where the drums pause; return the sections each role is gated in.

    Passages that leave the beat to the listener stay, but are few.
    """
    chance, genre, bars = sketch.chance, sketch.genre, sketch.bars
    q = chance("pulse")
    drummed = sections_with(bars, sketch.find("drums")) | sections_with(bars, sketch.find("perc"))
    bare = {bar.section for bar in bars} - drummed
    gated: dict[str, set[int]] = {}
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
                chosen = (
                    {q.choice(sorted(every))}
                    if kind == "one"
                    else every
                    if kind == "all"
                    else set(bare)
                )
                gated[track.role] = chosen
    share = marked(bars, sketch.tracks)
    weak = {s for s in bare if share[s] < 0.6 and not any(s in x for x in gated.values())}
    often = 0.85 if genre.human < 0.01 else 0.75
    weak = {s for s in sorted(weak) if q.random() < often or share[s] < 0.05}
    if not weak:
        return gated
    pads = [t for t in held if t.role in ("pad", "pad2", "strings", "va")]
    if pads and sketch.div == 4 and q.random() < (0.35 if genre.gate else 0.05):
        gated[pads[0].role] = gated.get(pads[0].role, set()) | weak
        return gated
    sounds = " ".join(p.sounds for p in genre.parts if p.styles not in HELD) or "piano"
    pulse = sketch.track("pulse", _sound(q, sounds), q.uniform(-0.6, 0.6), q.uniform(0.4, 0.8))
    style = q.choice(PULSES)
    part = Comping(chance, pulse, "pulse", (style, style), sketch.div, 0)
    for bar in bars:
        if bar.section in weak:
            part.bar(bar, style)
    return gated


def _gates(sketch: Sketch, tempo: TempoMap, gated: dict[str, set[int]]) -> None:
    for role, sections in gated.items():
        track = sketch.find(role)
        if track is None:
            continue
        pattern = gate_pattern(sketch.chance, role)
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


def _ending(sketch: Sketch, total: float) -> None:
    """A last chord on the downbeat after the last bar."""
    last = sketch.bars[-1]
    third = 4 if last.scale is MAJOR else 3
    for track in sketch.tracks:
        if track.raw and track.role in (
            "bass",
            "keys",
            "gtr",
            "pad",
            "lh",
            "va",
            "vn",
            "vn2",
            "strings",
            "organ",
            "horns",
        ):
            low = 30 if track.role == "bass" else 52
            for interval in (0,) if track.role == "bass" else (0, third, 7):
                pitch = low + (last.tonic - low) % 12 + interval
                track.add(total, sketch.n * 1.5, pitch)
        elif track.role == "drums" and last.energy > 0.3:
            track.add(total, 0.5, KICK, 0.9)
            track.add(total, 2, 49)


def _pickup(sketch: Sketch, q: random.Random) -> int:
    """Write an upbeat or a count-in, and return its length in beats."""
    n, first = sketch.n, sketch.bars[0]
    drums = sketch.find("drums")
    if n > 2 and q.random() < 0.12:
        beats = q.randrange(1, n)
        voice = sketch.find("voice")
        source = voice if voice is not None and voice.raw else sketch.find("lead")
        if source is not None:
            low = 60 - 12 * (first.tonic > 10)
            for k in range(beats):
                source.add(k - beats, 0.9, low + first.tonic + 2 * k, 0.7)
        if drums is not None and q.random() < 0.5:
            for k in range(beats):
                drums.add(k - beats, 0.2, SNARE if k % 2 else HAT, 0.6 + 0.1 * k)
        return beats
    if drums is not None and q.random() < 0.06:
        beats = min(n, 4)
        for k in range(beats):
            drums.add(k - beats, 0.2, RIM, 0.7)
        return beats
    return 0


def _perform(sketch: Sketch, swing8: float, swing16: float, gated: dict[str, set[int]]) -> Song:
    chance, genre, bars, sections, n = (
        sketch.chance, sketch.genre, sketch.bars, sketch.sections, sketch.n
    )  # fmt: skip
    q = chance("tempo")
    tempo = TempoMap(q, sketch.name, genre, bars, sketch.bpm, swing8, swing16)
    total = bars[-1].at + bars[-1].n
    ends_loud = sections[-1].label in ("outro", "chorus")
    fade = q.uniform(4, 12) if ends_loud and q.random() < 0.18 else 0.0
    final = not fade and q.random() < 0.7
    if final:
        _ending(sketch, total)
    pickup = _pickup(sketch, q)
    tempo.begin(-pickup, q.choice([0, 0.1, 0.3, 0.5, 1, 2.5]) * q.uniform(0.5, 1.2) + 0.02)
    _gates(sketch, tempo, gated)
    end = float(tempo.beat(total)) + (tempo.beat_seconds * n * 1.2 if final else 0.15)
    silent = [
        (b.at + (b.n / 2 if chance("half", b.section).random() < 0.5 else 0), b.at + b.n)
        for b in bars
        if b.silent
    ]
    choruses = [tempo.beat([b.at, b.at + b.n]) for b in bars if b.label == "chorus"]
    for track in sketch.tracks:
        h = chance("human", track.role)
        if choruses and track.role == "voice" and h.random() < (0.6 if sketch.clear else 0.2):
            track.wide = np.array(choruses)
        perform(h, track, tempo, genre.human, silent)
        track.notes = track.notes[track.notes[:, 0] < end]
    ducks = _ducks(sketch, tempo, q)
    tracks = [t for t in sketch.tracks if len(t.notes)]
    whole = [b.at + np.arange(b.n) for b in bars]
    beats = np.concatenate([np.arange(-pickup, 0), *whole, [total] if final else []])
    downbeats = np.array([b.at for b in bars] + ([total] if final else []))
    starts = [(float(tempo.beat(b.at)), b.label) for b in bars if b.index == 0]
    begin = float(tempo.beat(-pickup))
    starts[0] = (begin, starts[0][1])
    lengths = np.diff([x for x, _ in starts] + [end])
    merged = [
        x for i, x in enumerate(starts) if i == 0 or x[1] != starts[i - 1][1] or lengths[i] > 6
    ]
    return Song(
        chance.seed, sketch.name, sketch.bpm, (n, sketch.div), tracks, tempo.beat(beats),
        tempo.beat(downbeats), merged, (begin, end), fade, ducks, end + q.choice([0.2, 1, 2, 4]),
    )  # fmt: skip


def _ducks(sketch: Sketch, tempo: TempoMap, q: random.Random) -> Array:
    """Seconds at which everything ducks: kicks, and often the beats of passages without drums."""
    if q.random() >= sketch.genre.pump:
        return np.zeros(0)
    drums = sketch.find("drums")
    times: list[float] = []
    if drums is not None:
        times = drums.notes[drums.notes[:, 2] == KICK, 0].tolist()
    if drums is None or q.random() < 0.6:
        struck = np.sort(times)
        for bar in sketch.bars:
            a, b = tempo.beat([bar.at - 0.1, bar.at + bar.n - 0.1])
            if not np.any((struck >= a) & (struck < b)):
                times += tempo.beat(bar.at + np.arange(bar.n)).tolist()
    return np.sort(times)
