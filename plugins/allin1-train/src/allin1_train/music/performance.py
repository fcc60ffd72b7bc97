"""Conversion of a sketch to a song in seconds: upbeat, ending, tempo, side-chain, annotations."""

import random

import numpy as np

from allin1_train.music.grooves import CRASH, HAT, KICK, RIM, SNARE
from allin1_train.music.harmony import MAJOR
from allin1_train.music.pulse import time_gates
from allin1_train.music.score import Array, Song
from allin1_train.music.sketch import Sketch
from allin1_train.music.timing import TempoMap, perform

#: Roles that play the last chord.
LAST_CHORD = ("bass", "keys", "gtr", "pad", "lh", "va", "vn", "vn2", "strings", "organ", "horns")


def perform_song(sketch: Sketch, swing8: float, swing16: float) -> Song:
    """Convert a sketch to seconds, and add its start, ending and annotations."""
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
    time_gates(sketch, tempo)
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
        tempo.beat(downbeats), merged, (begin, end), fade, ducks, _hush(sketch, tempo),
        end + q.choice([0.2, 1, 2, 4]),
    )  # fmt: skip


def _ending(sketch: Sketch, total: float) -> None:
    """A last chord on the downbeat after the last bar."""
    last = sketch.bars[-1]
    third = 4 if last.scale is MAJOR else 3
    for track in sketch.tracks:
        if track.raw and track.role in LAST_CHORD:
            low = 30 if track.role == "bass" else 52
            for interval in (0,) if track.role == "bass" else (0, third, 7):
                pitch = low + (last.tonic - low) % 12 + interval
                track.add(total, sketch.n * 1.5, pitch)
        elif track.role == "drums" and last.energy > 0.3:
            track.add(total, 0.5, KICK, 0.9)
            track.add(total, 2, CRASH)


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


def _ducks(sketch: Sketch, tempo: TempoMap, q: random.Random) -> Array:
    """Times of ducking in seconds: kicks, and often the beats of passages without drums."""
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


def _hush(sketch: Sketch, tempo: TempoMap) -> Array:
    """Passages of near or complete silence in which the beat continues (see `Song.hush`)."""
    q = sketch.chance("hush")
    if q.random() > (0.15 if sketch.genre.electronic else 0.06):
        return np.zeros((0, 4))
    out = []
    for _ in range(q.choice([1, 1, 2])):
        bars = q.choice([1, 2, 2, 4, 4, 8, 12])
        first = q.randrange(max(1, len(sketch.bars) - bars))
        a = sketch.bars[first].at
        begin, end = tempo.beat([a, a + sum(b.n for b in sketch.bars[first : first + bars])])
        edge = min(q.choice([0.02, 0.3, 1.5, 4]), (end - begin) / 3)
        level = 0.0 if q.random() < 0.4 else 10 ** (-q.uniform(20, 50) / 20)
        out.append((begin, min(end, begin + 25.0), level, edge))
    return np.array(out)
