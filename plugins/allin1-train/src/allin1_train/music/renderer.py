"""Renders a composed song to float32 stereo [2, n] at 44.1 kHz.

Every distinct note (pitch, length, loudness, each rounded) is synthesised once, with a SoundFont
or the synthesiser, and then added at all its positions: as songs are repetitive, this is several
times faster than synthesising every note.
"""

import random
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.signal import oaconvolve

from allin1_train.music.audio import RATE, Signal, f32, one_pole, steps
from allin1_train.music.drumkit import Kit
from allin1_train.music.effects import doubled, ducking, echo, hush, room, sweep
from allin1_train.music.genres import GENRES
from allin1_train.music.mastering import master
from allin1_train.music.noise import sweeps
from allin1_train.music.score import Song, Track
from allin1_train.music.soundfont import SoundFont
from allin1_train.music.synthesis import Patch
from allin1_train.music.voice import Singer

#: Root mean square of a track while it sounds.
LEVEL = {
    "drums": 0.17, "perc": 0.035, "bass": 0.1, "voice": 0.1, "backing": 0.035, "lead": 0.075,
    "lead2": 0.055, "fx": 0.05, "pad": 0.03, "pad2": 0.025, "strings": 0.035,
}  # fmt: skip
WIDE = (
    "pad",
    "pad2",
    "gtr",
    "strings",
    "stab",
    "arp",
    "keys",
    "backing",
    "va",
    "vn",
    "horns",
    "pulse",
    "between0",
    "between1",
)
ECHOED = ("lead", "voice", "keys", "stab", "arp", "pulse", "between0", "between1")
LENGTHS = 0.09  # lengths of notes are rounded to powers of exp(0.09)


def render(song: Song, font: SoundFont | None) -> Signal:
    """Render `song`; the same song gives the same samples.

    Parameters
    ----------
    song
        The song, from `compose`.
    font
        Instruments of its ``gm:`` and ``kit:`` tracks; may be None for a song without these.

    Returns
    -------
    float32 [2, n], within -1…1, at 44.1 kHz.

    Raises
    ------
    ValueError
        The song needs a SoundFont, and `font` is None.
    """
    r = random.Random(f"render/{song.seed}")
    n = int(song.length * RATE)
    genre = GENRES[song.genre]
    mix, pumped, send = np.zeros((2, n), f32), np.zeros((2, n), f32), np.zeros(n, f32)
    electronic = genre.electronic
    for track in song.tracks:
        x = _track(track, n, font, r)
        if track.gate is not None:
            x *= steps(track.gate, n)
        active = x[np.abs(x) > 1e-3]
        if not len(active):
            continue
        level = LEVEL.get(track.role, 0.045) * track.gain * np.exp(r.gauss(0, 0.35))
        x *= f32(level / (np.sqrt(np.mean(active[::7] ** 2)) + 1e-6))
        x = _coloured(x, track.role, r)
        if track.role in ECHOED and r.random() < (0.5 if electronic else 0.3):
            gap = int(RATE * 60 / song.bpm * r.choice([0.5, 0.75, 0.75, 0.75, 1, 0.25]))
            echo(x, gap, r.uniform(0.15, 0.65 if electronic else 0.4))
        ducked = len(song.ducks) and track.role not in ("drums", "voice", "perc", "fx")
        _place(pumped if ducked else mix, x, track, r)
        amount = {"bass": 0.03, "drums": 0.25}.get(track.role, 0.5)
        send += x * f32(amount * r.uniform(0.2, 1.2))
    if len(song.ducks):
        pumped *= ducking(song.ducks, n, 60 / song.bpm, r)
    if electronic and r.random() < 0.35:
        sweep(pumped if len(song.ducks) else mix, _calm_before_loud(song), r)
    mix += pumped
    wet = r.choice([0, 0.1, 0.2, 0.4, 0.8]) * r.uniform(0.5, 1.2)
    if wet:
        mix += f32(wet) * oaconvolve(send[None], room(r), axes=-1)[:, :n].astype(f32)
    hush(mix, song.hush)
    fade = (song.music[1] - song.fade, song.music[1]) if song.fade else None
    return master(mix, r, fade)


def _track(track: Track, n: int, font: SoundFont | None, r: random.Random) -> Signal:
    """Mono signal of one track."""
    kind, _, what = track.sound.partition(":")
    if kind == "voice":
        return Singer(r).sing(track.notes, n)
    if kind == "noise":
        return sweeps(track.notes, n, r)
    make: Callable[[int, float, float], Signal]
    drums = kind in ("kit", "kits")
    if kind == "kits":
        kit = Kit(r, what == "chip")
        make = lambda pitch, _, velocity: kit.note(pitch, velocity)  # noqa: E731
    elif kind == "s":
        make = Patch(what, r).note
    elif font is None:
        raise ValueError(f"the track {track.role!r} ({track.sound}) needs a SoundFont")
    else:
        font.select(int(what), drums)
        make = partial(font.note, drums=drums)
    out = np.zeros(n, f32)
    cache: dict[tuple[int, int, int], tuple[Signal, int]] = {}
    grades = 6 if kind in ("kit", "gm") else 3
    for start, length, pitch, velocity in track.notes.tolist():
        pitch = int(pitch) if drums else min(108, max(21, int(pitch)))
        size = 1 if drums else round(np.log(min(max(length, 0.04), 6)) / LENGTHS)
        grade = max(1, round(velocity * grades))
        key = pitch, size, grade
        if key not in cache:
            made = make(pitch, float(np.exp(size * LENGTHS)), grade / grades)
            cache[key] = made, 0 if drums else _anticipation(made)
        x, ahead = cache[key]
        i = max(0, int(start * RATE) - ahead)
        m = min(len(x), n - i)
        if m > 0:
            out[i : i + m] += x[:m] * f32(velocity * grades / grade)
    return out


def _anticipation(note: Signal) -> int:
    """Number of samples by which a note with a slow attack starts early, so that it is perceived in time."""
    attack = np.abs(note[: int(0.1 * RATE)])
    reached = int(np.argmax(attack > 0.5 * attack.max())) if len(attack) else 0
    return int(0.6 * reached)


def _coloured(x: Signal, role: str, r: random.Random) -> Signal:
    """A filter or distortion, sometimes."""
    if r.random() < 0.3:
        if r.random() < 0.6 or role in ("bass", "drums"):
            x = one_pole(x, np.exp(r.uniform(np.log(2500), np.log(12000))))
        else:
            x = one_pole(x, r.uniform(60, 350), True)
    if role in ("gtr", "bass", "lead", "drums", "voice") and r.random() < 0.25:
        x = np.tanh(x * f32(r.uniform(2, 8))) * f32(0.25)
    return x


def _place(bus: Signal, x: Signal, track: Track, r: random.Random) -> None:
    """Add a track to a stereo bus, at its place, some of them wide."""
    n = len(x)
    angle = (track.pan * 1.2 + 1) * np.pi / 4
    left, right = f32(np.cos(angle) * 1.3), f32(np.sin(angle) * 1.3)
    bus[0] += left * x
    if r.random() < (0.6 if track.role in WIDE else 0.1):  # the right side a little later
        d = int(RATE * r.uniform(0.004, 0.022))
        bus[1, d:] += right * x[: n - d]
    else:
        bus[1] += right * x
    if track.wide is not None:
        copy = doubled(x, track.wide, r) * f32(r.uniform(0.3, 0.7))
        bus[0] += copy
        bus[1] -= copy if r.random() < 0.5 else -doubled(x, track.wide, r) * f32(0.5)


def _calm_before_loud(song: Song) -> list[tuple[float, float]]:
    """Spans of breaks and intros that lead into something else."""
    spans = zip(song.sections, song.sections[1:], strict=False)
    return [(a, b) for (a, label), (b, _) in spans if label in ("break", "intro")]
