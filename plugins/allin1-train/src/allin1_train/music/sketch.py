"""A song while it is composed."""

from dataclasses import dataclass, field

from allin1_train.music.chance import Chance
from allin1_train.music.genres import Genre
from allin1_train.music.score import Bar, Section, Track


@dataclass
class Sketch:
    """The state that the steps of composing share.

    Attributes
    ----------
    chance
        The song's random streams.
    name, genre
        The genre.
    n, div
        Beats per bar, steps per beat.
    bpm
        Tempo of the beat.
    clear
        Whether the song follows the conventions by which sections are recognised.
    sections, bars
        The form.
    tracks
        The instruments, added one by one.
    gated
        For roles whose sound is chopped by a gate: the sections in which it is.
    late
        Roles whose gate opens between the beats.
    """

    chance: Chance
    name: str
    genre: Genre
    n: int
    div: int
    bpm: float
    clear: bool
    sections: list[Section]
    bars: list[Bar]
    tracks: list[Track] = field(default_factory=list)
    gated: dict[str, set[int]] = field(default_factory=dict)
    late: set[str] = field(default_factory=set)

    def track(self, role: str, sound: str, pan: float, gain: float) -> Track:
        """Add a track."""
        self.tracks.append(Track(role, sound, pan, gain))
        return self.tracks[-1]

    def find(self, role: str) -> Track | None:
        """The first track of a role; None if there is none."""
        return next((t for t in self.tracks if t.role == role), None)
