"""The parts of a composed song: bars, tracks of notes, and annotations of its structure."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Note(NamedTuple):
    """A note while composing: position and length in beats, MIDI pitch, velocity 0…1."""

    at: float
    length: float
    pitch: float
    velocity: float


class Chord(NamedTuple):
    """A chord: offset in its bar (beats), root (pitch class) and intervals above it."""

    offset: float
    root: int
    intervals: tuple[int, ...]


@dataclass(frozen=True)
class Section:
    """One section of the form.

    Attributes
    ----------
    label
        One of intro, verse, chorus, bridge, inst, solo, break, outro.
    bars
        Number of bars.
    energy
        0 (calm) … 1 (full), steers density and instrumentation.
    material
        Name of the music it uses; sections of equal material share harmony and motifs.
    nth
        1 for the first section of this label, 2 for the second …
    """

    label: str
    bars: int
    energy: float
    material: str
    nth: int


@dataclass
class Bar:
    """A bar: position of its first beat, beats, its place in the form, and its harmony."""

    at: float
    n: int
    section: int
    label: str
    energy: float
    index: int
    count: int
    material: str
    nth: int
    chords: list[Chord]
    tonic: int
    scale: tuple[int, ...]
    silent: bool = False


@dataclass
class Track:
    """One instrument.

    Attributes
    ----------
    role
        drums, perc, bass, voice, backing, lead, lead2, fx, or a part of the genre.
    sound
        ``gm:PROGRAM``, ``kit:BANK`` (both from the SoundFont), ``s:PATCH`` or ``kits``
        (synthesised), ``voice``, or ``noise`` (risers and impacts).
    pan, gain
        -1 (left) … 1, and a factor on the role's level.
    raw
        Notes in beats, while composing.
    notes
        [n, 4]: start and duration in seconds, pitch, velocity.
    gate
        [k, 2]: from second ``gate[i, 0]`` on, the track sounds at ``gate[i, 1]`` (0…1).
    wide
        [k, 2] seconds: in these spans a doubled, spread copy is added.
    """

    role: str
    sound: str
    pan: float
    gain: float
    raw: list[Note] = field(default_factory=list)
    notes: Array = field(default_factory=lambda: np.zeros((0, 4)))
    gate: Array | None = None
    wide: Array | None = None

    def add(self, at: float, length: float, pitch: float, velocity: float = 0.8) -> None:
        """Append a note, all in beats."""
        self.raw.append(Note(at, length, pitch, velocity))


@dataclass(frozen=True)
class Song:
    """A song ready to be rendered, with its annotations.

    Attributes
    ----------
    seed, genre, bpm
        Seed, genre and median tempo of the song.
    metre
        Beats in a bar, and subdivisions of a beat (4: even sixteenths, 3: triplets).
    tracks
        Tracks that have notes.
    beats, downbeats
        Times in seconds, increasing.
    sections
        (start in seconds, label) of every section; the last ends at ``music[1]``.
    music
        First and last second of music.
    fade
        Seconds of fade-out before ``music[1]``, or 0.
    ducks
        Seconds at which the pumped part of the mix ducks (side-chain), or none.
    hush
        [k, 4]: start and end in seconds, level (0…1) and length of the edges in seconds of quiet passages,
        in which the beat continues.
    length
        Seconds, silence at both ends included.
    """

    seed: int
    genre: str
    bpm: float
    metre: tuple[int, int]
    tracks: list[Track]
    beats: Array
    downbeats: Array
    sections: list[tuple[float, str]]
    music: tuple[float, float]
    fade: float
    ducks: Array
    hush: Array
    length: float
