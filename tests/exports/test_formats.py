"""Each format is read back by a library that others write programs with, where there is one."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest

from allin1_core.errors import OutputError
from allin1_core.exports.markdown import clock
from allin1_core.exports.rekordbox import location_of

from .conftest import EXPORTERS, a_song, empty_song, written

# jams calls jsonschema, and the readers of XML their own libraries, in ways that are deprecated there.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

Save = Callable[..., Path]


def test_jams_is_valid_and_holds_beats_positions_segments_and_tempo(save: Save) -> None:
    jams = pytest.importorskip("jams")
    song = a_song()
    document = jams.load(str(save("jams", song)), strict=True)
    beats = document.search(namespace="^beat$")[0]
    assert [o.time for o in beats] == pytest.approx(song.result.beats, abs=1e-9)
    assert [o.value for o in beats] == song.result.beat_positions
    positions = document.search(namespace="beat_position")[0]
    assert [o.value["position"] for o in positions] == song.result.beat_positions
    segments = document.search(namespace="segment_open")[0]
    assert [o.value for o in segments] == [one.label for one in song.result.segments]
    assert document.search(namespace="tempo")[0].data[0].value == 124
    assert document.file_metadata.duration == pytest.approx(song.duration_s)


def test_jams_of_a_song_in_which_nothing_was_found_is_valid(save: Save) -> None:
    jams = pytest.importorskip("jams")
    document = jams.load(str(save("jams", empty_song())), strict=True)
    assert [len(annotation.data) for annotation in document.annotations] == [0, 0, 0]


@pytest.mark.parametrize(("name", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_tables_give_back_what_they_were_given(name: str, delimiter: str) -> None:
    song = a_song()
    text = written(name, song).decode()
    rows = list(csv.DictReader(io.StringIO(text), delimiter=delimiter))
    assert [float(r["start"]) for r in rows if r["type"] == "beat"] == song.result.beats
    assert [r["label"] for r in rows if r["type"] == "segment"] == [
        one.label for one in song.result.segments
    ]
    starts = [float(row["start"]) for row in rows]
    assert starts == sorted(starts)
    beats = csv.DictReader(
        io.StringIO(written(f"{name}-beats", song).decode()), delimiter=delimiter
    )
    assert [float(r["time"]) for r in beats if r["downbeat"] == "1"] == song.result.downbeats
    segments = csv.DictReader(
        io.StringIO(written(f"{name}-segments", song).decode()), delimiter=delimiter
    )
    assert [float(r["end"]) for r in segments] == [one.end for one in song.result.segments]


def test_mir_eval_reads_beats_and_sections(save: Save) -> None:
    mir_eval = pytest.importorskip("mir_eval")
    song = a_song()
    times, labels = mir_eval.io.load_labeled_events(str(save("beats", song)))
    assert times.tolist() == song.result.beats  # to the bit
    assert [int(label) for label in labels] == song.result.beat_positions
    intervals, labels = mir_eval.io.load_labeled_intervals(str(save("lab", song)), delimiter="\t")
    assert intervals.ravel().tolist() == [t for s in song.result.segments for t in (s.start, s.end)]
    assert labels[0] == "intro"
    intervals, _ = mir_eval.io.load_labeled_intervals(
        str(save("audacity-segments", song)), delimiter="\t"
    )
    assert intervals[-1][1] == pytest.approx(song.result.segments[-1].end, abs=1e-6)


def test_every_downbeat_of_a_beats_file_is_one_of_its_beats(save: Save) -> None:
    song = a_song()
    table = np.loadtxt(save("beats", song))
    assert table[table[:, 1] == 1, 0].tolist() == song.result.downbeats
    table = np.loadtxt(save("madmom", song))
    assert table[:, 0] == pytest.approx(song.result.beats, abs=0.0005)


def test_svl_counts_in_frames_of_the_audio_file(save: Save) -> None:
    song = a_song(sample_rate=48_000)
    root = ET.parse(save("svl-beats", song)).getroot()
    model = root.find("data/model")
    assert model is not None
    assert model.get("sampleRate") == "48000"
    frames = [int(point.get("frame", "")) for point in root.iterfind("data/dataset/point")]
    assert frames == [round(time * 48_000) for time in song.result.beats]
    regions = ET.parse(save("svl-segments", song)).getroot().findall("data/dataset/point")
    assert [r.get("label") for r in regions] == ["intro", 'verse "1" & <more>', "Refrain é"]
    ends = [int(r.get("frame", "")) + int(r.get("duration", "")) for r in regions]
    assert ends == [round(one.end * 48_000) for one in song.result.segments]


@pytest.mark.parametrize("seed", range(5))
def test_a_midi_tempo_map_plays_back_to_the_beats(seed: int, save: Save) -> None:
    mido = pytest.importorskip("mido")
    song = a_song(seed, bars=200, drift=0.1)
    document = mido.MidiFile(save("midi", song), charset="utf-8")
    now, played, markers = 0.0, [], {}
    for message in document:  # with the time of each message in seconds, by the tempo map
        now += message.time
        if message.type == "note_on" and message.channel == 9:
            played.append(now)
        if message.type == "marker":
            markers[message.text] = now
    assert np.abs(np.array(played) - song.result.beats).max() < 1e-5
    for one in song.result.segments:
        assert markers[" ".join(one.label.split())] == pytest.approx(one.start, abs=1e-3)
    # Live takes the tempo map only where a note spans the song.
    assert document.length == pytest.approx(song.duration_s, abs=1e-3)


def test_a_midi_bar_begins_at_each_downbeat(save: Save) -> None:
    mido = pytest.importorskip("mido")
    song = a_song()
    track = mido.MidiFile(save("midi", song), charset="utf-8").tracks[0]
    tick, signatures = 0, []
    for message in track:
        tick += message.time
        if message.type == "time_signature":
            signatures.append((tick // 960, message.numerator))
    # One beat of lead-in, one of pick-up, then bars of four.
    assert signatures[0] == (0, 1)
    assert signatures[-1] == (2, 4) or signatures[-1] == (1, 4)


def test_midi_refuses_a_gap_that_no_tempo_can_span() -> None:
    pytest.importorskip("mido")
    song = a_song()
    beats = [*song.result.beats[:-1], song.result.beats[-1] + 20]
    result = type(song.result)(**{**vars(song.result), "beats": beats})
    with pytest.raises(OutputError, match="without a beat"):
        written("midi", a_song(result=result))


def test_a_reader_of_rekordbox_finds_grid_and_cues(save: Save) -> None:
    pyrekordbox = pytest.importorskip("pyrekordbox")
    songs = [a_song(0), a_song(1, name="other", source=Path("/music/other.flac"))]
    collection = pyrekordbox.RekordboxXml(save("rekordbox", *songs))
    assert collection.num_tracks == 2
    track = collection.get_track(0)
    assert track["Name"] == "Café #1"
    assert track["Location"].endswith("music/Café #1.mp3")
    grid = [(t["Inizio"], t["Bpm"], t["Battito"]) for t in track.tempos]
    assert _grid_error(grid, songs[0].result.beats) < 0.0135  # 12 ms and the format's rounding
    cues = [(mark["Name"], mark["Start"], mark["Num"]) for mark in track.marks]
    assert [c for c in cues if c[2] == -1][1][1] == pytest.approx(
        songs[0].result.segments[1].start, abs=0.001
    )
    assert sorted(c[2] for c in cues) == [-1, -1, -1, 0, 1, 2]


def _grid_error(grid: list[tuple[float, float, int]], beats: list[float]) -> float:
    worst = 0.0
    for time in beats[1:]:  # without the pick-up, which a grid extrapolates
        start, bpm, _ = [one for one in grid if one[0] <= time + 0.01][-1]
        phase = (time - start) * bpm / 60
        worst = max(worst, abs(phase - round(phase)) * 60 / bpm)
    return worst


def test_a_steady_song_needs_one_tempo() -> None:
    song = a_song(drift=0.0)
    for name, tag in (("rekordbox", "TEMPO"), ("traktor", "GRID")):
        assert len(list(ET.fromstring(written(name, song)).iter(tag))) == 1


@pytest.mark.parametrize("bpm", [90, 124.3, 128, 174])
def test_a_steady_song_whose_beats_lie_on_frames_needs_one_tempo(bpm: float) -> None:
    beats = [round(0.51 + i * 60 / bpm, 2) for i in range(400)]
    places = [i % 4 + 1 for i in range(400)]
    result = replace(
        a_song().result, beats=beats, downbeats=beats[::4], beat_positions=places, segments=[]
    )
    grid = list(ET.fromstring(written("rekordbox", a_song(result=result))).iter("TEMPO"))
    assert len(grid) == 1
    assert float(grid[0].get("Bpm", "")) == pytest.approx(bpm, abs=0.02)


def test_rekordbox_locations_have_one_slash_and_are_percent_encoded() -> None:
    assert location_of(Path("/music/Café #1.mp3")) == "file://localhost/music/Caf%C3%A9%20%231.mp3"
    windows = PureWindowsPath("C:\\Music\\a.mp3")
    assert location_of(windows) == "file://localhost/C:/Music/a.mp3"


# The reader leaves its file open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_reader_of_traktor_finds_grid_and_cues(save: Save) -> None:
    utils = pytest.importorskip("traktor_nml_utils")
    song = a_song()
    collection = utils.TraktorCollection(path=save("traktor", song))
    (entry,) = collection.nml.collection.entry
    assert entry.title == "Café #1"
    assert (entry.location.dir, entry.location.file) == ("/:music/:", "Café #1.mp3")
    grid = [cue for cue in entry.cue_v2 if cue.type == 4]
    assert float(grid[0].start) == pytest.approx(1000 * song.result.downbeats[0], abs=1e-3)
    cues = [cue for cue in entry.cue_v2 if cue.type == 0]
    assert [float(cue.start) for cue in cues] == pytest.approx(
        [1000 * one.start for one in song.result.segments], abs=1e-3
    )


def test_a_reader_of_reaper_projects_finds_tempo_markers_and_regions(save: Save) -> None:
    rpp = pytest.importorskip("rpp")
    song = a_song()
    project = rpp.loads(save("reaper", song).read_text("utf-8"))
    points = [row for row in project.find("TEMPOENVEX") if row[0] == "PT"]
    grid = [(float(row[1]), float(row[2]), 1) for row in points[1:]]
    assert _grid_error(grid, song.result.beats) < 0.0121
    assert float(points[0][2]) == pytest.approx(60 / song.result.downbeats[0])
    markers = [row for row in project if row[0] == "MARKER"]
    regions = [row for row in markers if row[4] == "1"]
    assert len(regions) == 2 * len(song.result.segments)
    assert float(regions[-1][2]) == pytest.approx(song.duration_s, abs=1e-6)
    assert {row[3] for row in markers} == {"intro", 'verse "1" & <more>', "Refrain é", ""}


def test_a_cue_sheet_rounds_before_it_splits() -> None:
    song = a_song()
    segments = [type(song.result.segments[0])(59.9999, 4000.0, "a"), *song.result.segments[3:]]
    result = type(song.result)(**{**vars(song.result), "segments": segments})
    text = written("cue", a_song(result=result)).decode()
    assert "INDEX 01 01:00:00" in text
    assert 'FILE "Café #1.mp3" MP3' in text
    assert "TITLE \"verse '1' & <more>\"" in written("cue", song).decode()


def test_a_reader_of_cue_sheets_finds_the_segments(save: Save) -> None:
    cuetools = pytest.importorskip("cuetools")
    song = a_song(source=Path("/music/song.wav"))  # the reader knows no MP3
    sheet = cuetools.loads(save("cue", song).read_text("utf-8"))
    assert [track.title for track in sheet.tracks] == [
        one.label.replace('"', "'").replace("\t", " ") for one in song.result.segments
    ]


def test_a_cue_sheet_holds_99_tracks() -> None:
    song = a_song()
    one = song.result.segments[0]
    result = type(song.result)(**{**vars(song.result), "segments": [one] * 100})
    with pytest.raises(OutputError, match="100 segments"):
        written("cue", a_song(result=result))


def test_markdown_counts_bars_and_escapes() -> None:
    text = written("markdown", a_song()).decode()
    assert '| verse "1" & \\<more\\> | 16 |' in text
    assert "# Café \\#1" in text


def test_a_clock_never_shows_sixty_seconds() -> None:
    assert clock(59.96) == "1:00.0"
    assert clock(3599.99) == "60:00.0"


@pytest.mark.parametrize("name", sorted(set(EXPORTERS) - {"midi", "jams"}))
def test_formats_take_a_song_in_which_nothing_was_found(name: str) -> None:
    content = written(name, empty_song())
    if EXPORTERS[name].suffix.endswith((".xml", ".svl", ".nml")):
        ET.fromstring(content)
