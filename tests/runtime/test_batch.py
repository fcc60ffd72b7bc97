"""Batches: what fails costs itself alone, and what is finished is kept."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

import allin1_core as allin1
from allin1_core.errors import BatchError, InputError, StemsError
from allin1_core.runtime import analyze as analyze_module
from allin1_core.runtime.batch import run_batch
from allin1_core.runtime.track import make_tracks


@pytest.fixture
def album(tmp_path, write_stems):
    """Three songs with stems; the second one's bass holds a NaN."""
    folder = tmp_path / "separated"
    for seed, name in enumerate(("b", "bad", "a")):
        write_stems(folder / name, 3.0, seed)
    bass = folder / "bad" / "bass.wav"
    samples, rate = soundfile.read(bass, dtype="float32")
    samples[44_100] = np.nan
    soundfile.write(bass, samples, rate, subtype="FLOAT")
    return folder


@pytest.fixture
def use_session(make_session, monkeypatch):
    """Let ``allin1.analyze`` run on the random model and the core's own plugins."""
    monkeypatch.setattr(analyze_module, "Session", lambda model, **options: make_session())


def songs(album):
    return [album.parent / f"{name}.mp3" for name in ("b", "bad", "a")]


def test_a_bad_track_costs_itself_alone_and_the_order_is_kept(make_session, album, tmp_path):
    out = tmp_path / "out"
    tracks = make_tracks(songs(album), [album])
    with make_session() as session:
        outcomes = list(run_batch(session, tracks, out_dir=out))
    assert [o.track.name for o in outcomes] == ["b", "bad", "a"]
    assert [o.error is None for o in outcomes] == [True, False, True]
    assert "bass.wav" in str(outcomes[1].error)
    assert "1.000" in str(outcomes[1].error)
    assert sorted(path.name for path in out.iterdir()) == ["a.json", "b.json"]
    assert json.loads((out / "a.json").read_text())["path"] == str(songs(album)[2])


def test_each_result_is_on_the_disk_before_the_next_track_begins(make_session, album, tmp_path):
    out = tmp_path / "out"
    with make_session() as session:
        batch = run_batch(session, make_tracks(songs(album), [album]), out_dir=out)
        first = next(batch)
        assert first.written == out / "b.json"
        assert allin1.load_result(first.written).beats == first.result.beats
        batch.close()
    assert [path.name for path in out.iterdir()] == ["b.json"]


def test_ctrl_c_leaves_what_is_finished_and_nothing_half_written(make_session, album, tmp_path):
    out = tmp_path / "out"

    def interrupt(index, stage, fraction):
        if index == 2 and stage == "nn":
            raise KeyboardInterrupt

    tracks = make_tracks(songs(album), [album])
    with make_session() as session, pytest.raises(KeyboardInterrupt):
        list(run_batch(session, tracks, out_dir=out, progress=interrupt))
    assert [path.name for path in out.iterdir()] == ["b.json"]


def test_a_result_of_another_input_is_kept_unless_told_otherwise(make_session, album, tmp_path):
    out = tmp_path / "out"
    one = make_tracks([album.parent / "x" / "b.mp3"], [album])
    other = make_tracks([album.parent / "y" / "b.mp3"], [album])
    with make_session() as session:
        assert next(iter(run_batch(session, one, out_dir=out))).error is None
        before = (out / "b.json").read_bytes()
        (outcome,) = run_batch(session, other, out_dir=out)
        assert "another input" in str(outcome.error)
        assert (out / "b.json").read_bytes() == before
        (outcome,) = run_batch(session, other, out_dir=out, overwrite=True)
        assert outcome.error is None
        assert (out / "b.json").read_bytes() != before


def test_one_song_gives_a_result_and_a_sequence_gives_a_list(use_session, album):
    one = allin1.analyze(songs(album)[0], stems_dir=album)
    assert isinstance(one, allin1.AnalysisResult)
    several = allin1.analyze([songs(album)[2], songs(album)[0]], stems_dir=album)
    assert [result.path.stem for result in several] == ["a", "b"]
    assert several[1].beats == one.beats
    assert [r.path.stem for r in allin1.analyze([songs(album)[0]], stems_dir=album)] == ["b"]
    assert allin1.analyze([]) == []


def test_a_batch_that_failed_in_part_gives_what_it_has(use_session, album, tmp_path):
    with pytest.raises(BatchError, match="1 of 3 tracks failed") as caught:
        allin1.analyze(songs(album), tmp_path / "out", stems_dir=album)
    results = caught.value.results
    assert [result is None for result in results] == [False, True, False]
    assert list(caught.value.errors) == [str(songs(album)[1])]


def test_one_song_that_fails_raises_its_own_error(use_session, tmp_path):
    with pytest.raises(StemsError, match="does not exist"):
        allin1.analyze(stems_dir=tmp_path / "nowhere")


def test_nothing_to_analyse_and_incomplete_stems_are_refused(use_session):
    with pytest.raises(InputError, match="Nothing to analyse"):
        allin1.analyze()
    with pytest.raises(InputError, match="bass, drums, other, vocals"):
        allin1.analyze(stems={"bass": "b.wav"})


def test_four_files_may_be_named_by_stem(use_session, album):
    files = {name: album / "a" / f"{name}.wav" for name in ("bass", "drums", "other", "vocals")}
    assert allin1.analyze(stems=files).beats == allin1.analyze(stems_dir=album / "a").beats
