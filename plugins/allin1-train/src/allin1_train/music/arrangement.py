"""The arrangement: instruments that enter and leave, breakdowns, passages without drums."""

import random
from bisect import bisect_right

import numpy as np

from allin1_train.music.chance import Chance
from allin1_train.music.genres import Genre
from allin1_train.music.score import Bar, Note, Section, Track

RHYTHM = ("drums", "perc")


class Arrangement:
    """For every section and role, the bars of the section in which the role may play.

    Parameters
    ----------
    chance
        The song's streams.
    sections
        The form.
    roles
        All roles of the song.
    genre
        Electronic genres have breakdowns without drums, and without bass.
    clear
        Whether sections keep to conventions: intros build up, outros thin out, verses leave
        parts out that choruses have.
    """

    def __init__(
        self, chance: Chance, sections: list[Section], roles: list[str], genre: Genre, clear: bool
    ) -> None:
        self.windows: dict[tuple[int, str], tuple[int, int]] = {}
        self.clear = clear
        self.q = q = chance("arrangement")
        parts = [
            x
            for x in roles
            if x not in (*RHYTHM, "bass", "voice", "backing", "lead", "lead2", "fx")
        ]
        self.parts = parts
        bare_verse: list[str] = []
        bare_solo: list[str] = []
        if len(parts) > 1:
            bare_verse = q.sample(parts, min(len(parts) - 1, q.choice([0, 1, 1, 2, 2])))
            if q.random() < 0.5:
                bare_solo = q.sample(parts, 1)
        soft = q.choice([1.0, 0.85, 0.75, 0.65])
        self.levels = {"verse": soft, "solo": soft**0.5, "chorus": 1.1, "break": soft}
        quiet_break = q.choice(["drums", "drums", "drums bass", "drums bass", "parts"])
        builds, thins = q.random() < 0.65, q.random() < 0.6
        sparse = q.random() < (0.3 if genre.electronic else 0.03)
        bare = self._sections_without_drums(chance, sections, genre)
        for s, section in enumerate(sections):
            r = chance("layers", s)
            if sparse:
                pause = 0.15 if section.label == "chorus" else 0.45
                for role in r.sample(roles, max(0, len(roles) - 2)):
                    if r.random() < pause:
                        self.mute(s, role)
            if section.label == "intro" and builds and section.bars >= 4:
                self._enter(r.sample(roles, len(roles)), s, section.bars)
            elif section.label == "outro" and thins and section.bars >= 4 and r.random() < 0.8:
                self._leave(r.sample(roles, len(roles)), s, section.bars)
            if section.label == "break" and (clear or genre.electronic):
                self._break(quiet_break, roles, s, section.bars, r.random() < 0.4)
            if clear and section.label == "verse":
                for role in sorted(bare_verse):
                    if section.nth == 1 or r.random() < 0.6:
                        self.mute(s, role)
            if clear and section.label == "solo":
                for role in bare_solo:
                    self.mute(s, role)
            if s in bare:
                for role in RHYTHM:
                    self.mute(s, role)
            else:
                self._drop_out(chance("dropout", s), genre, s, section.bars)

    @staticmethod
    def _sections_without_drums(chance: Chance, sections: list[Section], genre: Genre) -> set[int]:
        """Sections whose drums pause, beyond breaks."""
        q = chance("bare")
        out: set[int] = set()
        if q.random() > (0.55 if genre.electronic else 0.25):
            return out
        kinds = ["start", "start", "bridge", "verse", "end", "any"]
        kind = q.choice([*kinds, "run", "run", "start"] if genre.electronic else kinds)
        first = q.randrange(len(sections))
        run = range(first, first + q.choice([2, 2, 3]))
        for s, section in enumerate(sections):
            if (
                (kind == "start" and s < q.choice([1, 2, 2, 3]))
                or (kind == "bridge" and section.label == "bridge")
                or (kind == "verse" and section.label == "verse" and section.nth == 1)
                or (kind == "end" and s >= len(sections) - q.choice([1, 2]))
                or (kind == "any" and q.random() < 0.25)
                or (kind == "run" and s in run)
            ):
                out.add(s)
        return out

    def mute(self, section: int, role: str) -> None:
        """Silence `role` in a section."""
        self.windows[section, role] = (0, 0)

    def _drop_out(self, r: random.Random, genre: Genre, s: int, bars: int) -> None:
        """Mute the drums, and perhaps the bass, at the start or end of a section."""
        if bars < 4 or r.random() > (0.22 if genre.electronic else 0.08):
            return
        rest = r.choice([1, 1, 2, bars // 2])
        window = (0, bars - rest) if r.random() < 0.65 else (rest, bars)
        for role in RHYTHM if r.random() < 0.5 else (*RHYTHM, "bass"):
            self.windows.setdefault((s, role), window)

    def _enter(self, roles: list[str], s: int, bars: int) -> None:
        step = 2 if bars <= 8 else 4
        for k, role in enumerate(roles):
            first = min(k * bars // len(roles) // step * step, bars - 1)
            self.windows[s, role] = (first, bars)

    def _leave(self, roles: list[str], s: int, bars: int) -> None:
        step = 2 if bars <= 8 else 4
        for k, role in enumerate(roles):
            last = bars - k * bars // len(roles) // step * step
            self.windows[s, role] = (0, max(1, last))

    def _break(self, kind: str, roles: list[str], s: int, bars: int, returns: bool) -> None:
        silent = self.parts if kind == "parts" else kind.split()
        if "drums" in silent:
            silent = [*silent, "perc"]
        for role in silent:
            if role in roles:
                back = bars // 2 if returns and bars >= 4 and role not in RHYTHM else bars
                self.windows[s, role] = (back, bars)

    def balance(self, bars: list[Bar], track: Track) -> None:
        """Scale the accompaniment's velocities: softer in verses than in choruses."""
        if not self.clear or track.role not in (*self.parts, "drums", "bass"):
            return
        starts = [bar.at for bar in bars]
        for i, note in enumerate(track.raw):
            bar = bars[max(0, bisect_right(starts, note.at + 1e-6) - 1)]
            level = self.levels.get(bar.label, 1.0)
            track.raw[i] = note._replace(velocity=min(1.0, note.velocity * level))

    def apply(self, bars: list[Bar], tracks: list[Track]) -> None:
        """Remove the notes of tracks where they may not play, but leave no bar empty."""
        starts = [bar.at for bar in bars]
        sounding = np.zeros(len(bars), bool)
        removed: dict[str, list[list[Note]]] = {}
        for track in tracks:
            kept = []
            lost: list[list[Note]] = [[] for _ in bars]
            for note in track.raw:
                i = max(0, bisect_right(starts, note.at + 1e-6) - 1)
                first, last = self.windows.get((bars[i].section, track.role), (0, bars[i].count))
                if track.role == "fx" or first <= bars[i].index < last:
                    kept.append(note)
                    end = bisect_right(starts, note.at + 0.8 * note.length)
                    sounding[i:end] |= track.role != "fx"
                else:
                    lost[i].append(note)
            track.raw = kept
            removed[track.role] = lost
        before = ""
        for i in np.flatnonzero(~sounding).tolist():
            able = sorted(role for role, lost in removed.items() if lost[i])
            if able:
                before = before if before in able else self.q.choice(able)
                next(t for t in tracks if t.role == before).raw += removed[before][i]
