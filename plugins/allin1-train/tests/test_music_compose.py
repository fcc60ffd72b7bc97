"""Composed songs: annotations match the notes, material repeats, and a seed determines the song."""

import itertools
import os
import random
import subprocess
import sys

import numpy as np
import pytest

from allin1_train.music import Song, compose
from allin1_train.music.arrangement import Arrangement
from allin1_train.music.between import gate_between
from allin1_train.music.chance import Chance
from allin1_train.music.comping import Comping
from allin1_train.music.fills import fill
from allin1_train.music.forms import FORMS, NAMES, form
from allin1_train.music.genres import GENRES, PROGRAMS
from allin1_train.music.grooves import BarOfDrums, backbeats
from allin1_train.music.harmony import MAJOR, chord, near, voicing
from allin1_train.music.melody import Melody
from allin1_train.music.pulse import PULSES
from allin1_train.music.rhythm import rhythm
from allin1_train.music.score import Bar, Chord, Section, Track
from allin1_train.music.synthesis import Patch
from allin1_train.music.timing import TempoMap
from allin1_train.songs import LABELS, frame_labels

METRES = [(2, 3), (2, 4), (3, 4), (4, 3), (4, 4), (5, 4), (7, 4)]


@pytest.fixture(scope="module")
def songs() -> list[Song]:
    return [compose(seed) for seed in range(60)]


def bars_of(label: str, count: int, nth: int = 1, section: int = 0, at: float = 0.0) -> list[Bar]:
    chords = [Chord(0, 0, (0, 4, 7))]
    return [
        Bar(at + 4 * i, 4, section, label, 0.6, i, count, label, nth, chords, 0, MAJOR)
        for i in range(count)
    ]


def test_a_seed_is_a_song() -> None:
    a, b, other = compose(5), compose(5), compose(6)
    assert [t.sound for t in a.tracks] == [t.sound for t in b.tracks]
    for x, y in zip(a.tracks, b.tracks, strict=True):
        np.testing.assert_array_equal(x.notes, y.notes)
    np.testing.assert_array_equal(a.beats, b.beats)
    assert a.sections == b.sections
    assert len(a.beats) != len(other.beats) or not np.array_equal(a.beats, other.beats)


def test_a_seed_is_a_song_in_every_process() -> None:
    """Nothing may depend on the order of sets of strings, which differs between processes."""
    program = (
        "from allin1_train.music import compose\n"
        "for s in range(12): print([(t.role, t.notes.sum()) for t in compose(s).tracks])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hashing, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hashing in ("1", "2")
    }
    assert len(outputs) == 1


def test_beats_rise_and_downbeats_are_beats(songs: list[Song]) -> None:
    for song in songs:
        gaps = np.diff(song.beats)
        assert gaps.min() > 0.25
        assert gaps.max() < 2.5
        assert set(np.round(song.downbeats, 6)) <= set(np.round(song.beats, 6))
        assert song.beats[0] >= 0
        assert song.beats[-1] <= song.length


def test_most_bars_have_the_beats_of_the_metre(songs: list[Song]) -> None:
    for song in songs:
        index = np.searchsorted(song.beats, song.downbeats - 1e-6)
        assert np.median(np.diff(index)) == song.metre[0]


def test_sections_begin_on_downbeats_and_labels_cover_the_song(songs: list[Song]) -> None:
    for song in songs:
        starts = np.array([start for start, _ in song.sections])
        assert (np.diff(starts) > 0).all()
        for start in starts[1:]:
            assert np.abs(song.downbeats - start).min() < 1e-6
        labels = frame_labels(song, int(song.length * 100))
        names = [LABELS[k] for k in labels]
        assert names[0] in ("start", song.sections[0][1])
        music = (np.arange(len(labels)) / 100 >= song.music[0]) & (
            np.arange(len(labels)) / 100 < song.music[1]
        )
        assert not {"start", "end"} & {n for n, m in zip(names, music, strict=True) if m}
        assert {n for n, m in zip(names, music, strict=True) if not m} <= {"start", "end"}
        assert {label for _, label in song.sections} <= set(NAMES.values())


def test_truth_falls_on_onsets(songs: list[Song]) -> None:
    """Nearly every beat with drums has a note, and notes are never off the grid."""
    hits = []
    for song in songs:
        onsets = np.sort(np.concatenate([t.notes[:, 0] for t in song.tracks if t.role != "fx"]))
        nearest = np.abs(
            onsets[np.searchsorted(onsets, song.beats - 0.045).clip(max=len(onsets) - 1)]
            - song.beats
        )
        hits.append(np.mean(nearest <= 0.045))
    assert np.mean(hits) > 0.85
    assert np.percentile(hits, 10) > 0.6


def test_no_bar_is_empty(songs: list[Song]) -> None:
    empty = 0
    for song in songs:
        notes = np.concatenate([t.notes for t in song.tracks if t.role != "fx"])
        for a, b in zip(song.downbeats, [*song.downbeats[1:], song.music[1]], strict=True):
            empty += not np.any((notes[:, 0] < b - 0.05) & (notes[:, 0] + notes[:, 1] > a + 0.05))
    bars = sum(len(song.downbeats) for song in songs)
    assert empty < 0.01 * bars


def test_the_tempo_is_one_that_listeners_tap(songs: list[Song]) -> None:
    bpm = np.array([song.bpm for song in songs])
    assert bpm.min() >= 52
    assert bpm.max() <= 182
    for song in songs:
        assert np.median(np.diff(song.beats)) == pytest.approx(60 / song.bpm, rel=0.06)


def test_songs_are_of_many_kinds(songs: list[Song]) -> None:
    assert len({song.genre for song in songs}) > len(GENRES) / 2
    assert {label for song in songs for _, label in song.sections} == set(NAMES.values())


def test_choruses_return_and_verses_vary() -> None:
    """A conventional melody is the same in each chorus and differs between verses."""

    def melody(label: str) -> tuple[list, list]:
        bars = bars_of(label, 4) + bars_of(label, 4, nth=2, section=1, at=16)
        track = Track("voice", "voice", 0, 1)
        player = Melody(Chance(3), track, "voice", 4, 60, False, True)
        player.play(bars, {label})
        first = [(n.at, n.pitch) for n in track.raw if n.at < 15]
        second = [(n.at - 16, n.pitch) for n in track.raw if n.at >= 16]
        return first, second

    chorus, verse = melody("chorus"), melody("verse")
    same = len(set(chorus[0]) & set(chorus[1])) / len(set(chorus[0]) | set(chorus[1]))
    varied = len(set(verse[0]) & set(verse[1])) / len(set(verse[0]) | set(verse[1]))
    assert same > 0.85
    assert 0.2 < varied < same


def test_a_silenced_role_pauses_but_no_bar_is_left_empty() -> None:
    sections = [Section("verse", 4, 0.6, "verse", 1), Section("chorus", 4, 0.8, "chorus", 1)]
    bars = bars_of("verse", 4) + bars_of("chorus", 4, section=1, at=16)
    arrangement = Arrangement(Chance(0), sections, ["drums", "keys"], GENRES["rock"], False)
    arrangement.windows.clear()
    arrangement.mute(0, "drums")
    drums, keys = Track("drums", "kits", 0, 1), Track("keys", "s:saw", 0, 1)
    for bar in bars:
        drums.add(bar.at, 0.2, 36)
        keys.add(bar.at, 1, 60)
    arrangement.apply(bars, [drums, keys])
    assert [n.at for n in drums.raw] == [16, 20, 24, 28]
    assert len(keys.raw) == 8
    arrangement.mute(1, "drums")
    arrangement.mute(1, "keys")
    arrangement.apply(bars, [drums, keys])
    assert {n.at for n in drums.raw + keys.raw} >= {16, 20, 24, 28}


@pytest.mark.parametrize(("n", "div"), METRES)
def test_every_groove_fits_every_metre(n: int, div: int) -> None:
    styles = {s for g in GENRES.values() for s in g.grooves.split()} | {"half"}
    for style in sorted(styles):
        hits = BarOfDrums(random.Random(1), n, div, True).play(style)
        assert (style == "none") == (not hits)
        assert all(0 <= h.at < n and 0 < h.velocity < 1.2 for h in hits)


@pytest.mark.parametrize(("n", "div"), METRES)
def test_every_accompaniment_fits_every_metre(n: int, div: int) -> None:
    styles = {s for g in GENRES.values() for p in g.parts for s in p.styles.split()} | set(PULSES)
    bar = Bar(0, n, 0, "verse", 0.6, 0, 1, "verse", 1, [Chord(0, 0, (0, 4, 7))], 0, MAJOR)
    for style in sorted(styles):
        track = Track("keys", "s:saw", 0, 1)
        Comping(Chance(2), track, "keys", (style, style), div, 0).bar(bar, style)
        assert track.raw, style
        assert all(0 <= note.at < n + 0.05 for note in track.raw), style


def test_fills_end_their_bar() -> None:
    for seed in range(50):
        start, hits = fill(random.Random(seed), 4, 4)
        assert 0 <= start < 4
        assert all(start <= h.at < 4 for h in hits)


def test_all_sounds_of_the_genres_exist() -> None:
    names = {s for g in GENRES.values() for p in g.parts for s in p.sounds.split()}
    names |= {s for g in GENRES.values() for s in (g.leads + " " + g.bass[0]).split()}
    for name in sorted(names - {"none"}):
        if name.startswith("s:"):
            Patch(name[2:], random.Random(0))
        else:
            assert name in PROGRAMS


def test_all_progressions_and_forms_can_be_read() -> None:
    for genre in GENRES.values():
        assert genre.forms in FORMS
        for progression in genre.progressions:
            for token in progression.split():
                root, intervals = chord(token, 3)
                assert 0 <= root < 12
                assert intervals[0] == 0


def test_chords_are_read_and_voiced() -> None:
    assert chord("b6maj7", 0) == (8, (0, 4, 7, 11))
    assert chord("5", 7) == (2, (0, 4, 7))
    assert near(0, 60) == 60
    assert voicing(0, (0, 4, 7), 60) == [55, 60, 64]


def test_sections_last_between_seconds_and_a_minute() -> None:
    for seed in range(40):
        for section in form(Chance(seed), "pop", False, 2.0):
            assert 2 <= section.bars * 2.0 <= 48
            assert 0 < section.energy <= 1


def test_rhythms_fill_their_bar() -> None:
    for seed in range(50):
        onsets = rhythm(random.Random(seed), 4, 4, 0.4)
        assert onsets[-1][0] + onsets[-1][1] == 4
        for (a, length), (b, _) in itertools.pairwise(onsets):
            assert a + length == b


def test_the_backbeat_is_never_the_downbeat() -> None:
    assert backbeats(random.Random(0), 4) == [1, 3]
    assert all(0 not in backbeats(random.Random(s), n) for n in (2, 3, 5, 7) for s in range(9))


def test_swing_delays_the_second_eighth() -> None:
    bars = bars_of("verse", 4)
    even = TempoMap(random.Random(0), "techno", GENRES["techno"], bars, 120, 0, 0)
    swung = TempoMap(random.Random(0), "techno", GENRES["techno"], bars, 120, 2 / 3, 0)
    for tempo in (even, swung):
        tempo.begin(0, 1.0)
    assert float(even(0.5)) == pytest.approx(1.25)
    assert float(swung(0.5)) == pytest.approx(1 + 1 / 3)
    assert float(swung(1)) == pytest.approx(1.5)


@pytest.mark.parametrize("style", ["late", "dotted", "pushed", "between"])
@pytest.mark.parametrize("seed", range(8))
def test_styles_between_the_beats_mostly_miss_them(style: str, seed: int) -> None:
    track = Track("between0", "s:pad", 0, 1)
    Comping(Chance(seed), track, "between0", (style, style), 4, 0).play(bars_of("intro", 8))
    at = np.array([note.at for note in track.raw])
    assert len(at) >= 8
    assert np.all(at >= 0)
    assert np.mean(at % 1 < 1e-6) <= (
        0.34 if style == "dotted" else 0
    )  # each fourth, begun anew in each bar


def test_gates_between_the_beats_are_closed_on_the_first_and_mostly_on_the_others() -> None:
    for seed in range(40):
        pattern = gate_between(Chance(seed), "pad")
        assert pattern[0] < 0.2
        assert np.mean(pattern[::4]) <= 0.5 < max(pattern)
        assert len(pattern) in (4, 8)


def test_electronic_songs_have_passages_whose_accents_lie_between_the_beats(
    songs: list[Song],
) -> None:
    found = 0
    for song in songs:
        for track in song.tracks:
            if track.role.startswith("between"):
                start = track.notes[:, 0]
                near = np.abs(start[:, None] - song.beats).min(1)
                found += np.mean(near > 0.05) > 0.5
    assert found >= 3


def test_the_beat_continues_in_quiet_passages() -> None:
    songs = [compose(seed) for seed in range(5000, 5025)]
    hushed = [song for song in songs if len(song.hush)]
    assert hushed
    for song in hushed:
        for begin, end, level, edge in song.hush:
            assert song.music[0] <= begin < end <= song.music[1] + 1e-6
            assert end - begin <= 25 + 1e-9
            assert 0 <= level <= 0.1
            assert 0 < edge <= (end - begin) / 2
            beats = song.beats[(song.beats >= begin) & (song.beats < end)]
            assert len(beats) >= (end - begin) / (60 / song.bpm) * 0.8


def test_drums_drop_out_and_come_back() -> None:
    genre = GENRES["house"]
    section = Section("inst", 8, 0.7, "inst", 1)
    sections = [section] * 40
    arrangement = Arrangement(Chance(1), sections, ["drums", "bass", "pad"], genre, False)
    windows = [w for (s, role), w in arrangement.windows.items() if role == "drums" and w != (0, 0)]
    assert windows
    for first, last in windows:
        assert 4 <= last - first < 8
        assert first == 0 or last == 8
