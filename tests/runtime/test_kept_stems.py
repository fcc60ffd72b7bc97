"""A session keeps stems and reuses them."""

from __future__ import annotations

import shutil
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from allin1_core import api
from allin1_core.api import analyze
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.spectrogram import FRAMES_PER_SECOND
from allin1_core.errors import OutputError
from allin1_core.io.kept_stems import NOTE
from allin1_core.io.mix import MixFile
from allin1_core.io.stems import find_stems, read_stems
from allin1_core.io.wav import StereoWriter
from allin1_core.runtime import streaming
from allin1_core.runtime.track import make_tracks
from allin1_core.testing.signals import song_logits


@pytest.fixture
def start_session(make_session, backend_plugin, separator, tmp_path):
    plugin = backend_plugin("demix", mine=separator)

    def start(**options):
        options = {"demix_dir": tmp_path / "demix", **options}
        return make_session(plugins={"mine": plugin}, **options)

    return start


def analysed(session, path):
    (track,) = make_tracks([path])
    with session:
        return session.analyze(track, include_activations=True)


def ran_demix(result):
    return any(record.stages == ("demix",) for record in result.provenance.stages)


@pytest.mark.parametrize("streamed", [False, True])
def test_they_are_kept_and_used_again_with_the_same_result(
    start_session, write_song, tmp_path, separator, monkeypatch, streamed
):
    if streamed:
        monkeypatch.setattr(streaming, "STREAMED_FROM_S", 1.0)
        monkeypatch.setattr(streaming, "STREAM_FRAMES", FRAMES_PER_SECOND)
    path = write_song(seconds=4.0)
    first = analysed(start_session(keep_stems=True), path)
    folder = tmp_path / "demix" / "htdemucs" / "song"
    stems, _, _ = read_stems(find_stems(folder))
    mix, _ = MixFile(path).read()
    np.testing.assert_array_equal(stems.samples, separator.SHARES * mix.samples)
    assert [p.name for p in folder.parent.iterdir()] == ["song"]
    for keep in (True, False):
        again = analysed(start_session(keep_stems=keep), path)
        assert (ran_demix(first), ran_demix(again)) == (True, False)
        assert again.path == first.path == path
        assert again.beats == first.beats
        difference = np.abs(again.activations["label"] - first.activations["label"]).max()
        assert difference < (1e-4 if streamed else 1e-12)
        told = again.provenance.input
        assert told["separated_before"]
        assert told["separation"] == first.provenance.input["separation"]
        assert {f["path"] for f in told["files"]} == {str(p) for p in find_stems(folder).paths}


def test_without_the_options_nothing_is_written_or_looked_for(
    start_session, write_song, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = write_song(seconds=3.0)
    analysed(start_session(demix_dir=None), path)
    assert [p.name for p in tmp_path.iterdir()] == ["song.wav"]
    analysed(start_session(), path)
    assert not (tmp_path / "demix").exists()
    analysed(start_session(demix_dir=None, keep_stems=True), path)
    assert (tmp_path / "demix" / "htdemucs" / "song" / NOTE).is_file()
    assert ran_demix(analysed(start_session(demix_dir=None), path))


def test_other_parameters_separate_again_and_take_their_place(start_session, write_song, tmp_path):
    path = write_song(seconds=3.0)
    analysed(start_session(keep_stems=True), path)
    other = DemixParameters(seed=7)
    assert ran_demix(analysed(start_session(keep_stems=True, demix=other), path))
    assert not ran_demix(analysed(start_session(demix=other), path))


def test_stems_of_another_song_end_the_track_before_it_is_separated(start_session, write_song):
    analysed(start_session(keep_stems=True), write_song("a/song.wav", 3.0))
    other = write_song("b/song.wav", 3.0, seed=1)
    told = []
    with pytest.raises(OutputError, match="contains the stems of"):
        with start_session(keep_stems=True) as session:
            session.analyze(make_tracks([other])[0], progress=lambda *a: told.append(a))
    assert not told
    assert ran_demix(analysed(start_session(keep_stems=True, overwrite_stems=True), other))


def test_ctrl_c_leaves_nothing_half_written(start_session, write_song, tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "STREAMED_FROM_S", 1.0)
    monkeypatch.setattr(streaming, "STREAM_FRAMES", FRAMES_PER_SECOND)

    def interrupt(stage, fraction):
        if stage == "spectrogram":
            raise KeyboardInterrupt

    (track,) = make_tracks([write_song(seconds=4.0)])
    with pytest.raises(KeyboardInterrupt), start_session(keep_stems=True) as session:
        session.analyze(track, progress=interrupt)
    assert not (tmp_path / "demix").exists()


def test_ready_made_stems_are_neither_copied_nor_replaced(start_session, write_stems, tmp_path):
    stems = write_stems(tmp_path / "song", 3.0)
    (track,) = make_tracks(stems_dirs=[stems.source])
    with start_session(keep_stems=True) as session:
        session.analyze(track)
    assert not (tmp_path / "demix").exists()


def test_explain_knows_that_stems_are_used_again(start_session, write_song):
    path = write_song(seconds=3.0)
    (track,) = make_tracks([path])
    with start_session(keep_stems=True) as session:
        assert session.explain(track).chosen.steps[0].backend.stages == ("demix",)
        session.analyze(track)
        assert session.explain(track).chosen.steps[0].backend.stages == ("spectrogram",)


def test_a_backend_that_gives_no_stems_is_reported(
    make_session, make_plugin, write_song, tmp_path, monkeypatch
):
    module = ModuleType("from_song_to_logits")
    module.create = lambda setup: lambda mix, task: song_logits(300)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    stages = ("demix", "spectrogram", "nn")
    record = Backend("whole", "demix", f"{module.__name__}:create", spans=stages)
    plugin = make_plugin(allin1_demix=lambda: [record])
    (track,) = make_tracks([write_song(seconds=3.0)])
    with make_session(
        plugins={"mine": plugin}, keep_stems=True, demix_dir=tmp_path / "demix"
    ) as session:
        result = session.analyze(track)
    assert "no stems to keep: whole takes the song" in " ".join(result.warnings)
    assert "separation" not in result.provenance.input


def test_a_named_separator_uses_only_its_own(start_session, write_song, tmp_path):
    path = write_song(seconds=3.0)
    analysed(start_session(keep_stems=True), path)
    assert not ran_demix(analysed(start_session(backends={"demix": "mine"}), path))
    note = tmp_path / "demix" / "htdemucs" / "song" / NOTE
    note.write_text(note.read_text().replace('"mine"', '"theirs"'))
    assert ran_demix(analysed(start_session(backends={"demix": "mine"}), path))


def test_the_function_keeps_them_too(start_session, write_song, tmp_path, monkeypatch):
    given = []

    def session(model, **options):
        given.append(options)
        return start_session(
            keep_stems=options["keep_stems"],
            demix_dir=options["demix_dir"],
            overwrite_stems=options["overwrite_stems"],
        )

    monkeypatch.setattr(api, "Session", session)
    analyze(write_song(seconds=3.0), keep_stems=True, demix_dir=tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "htdemucs" / "song" / "vocals.wav").is_file()
    assert given[0]["overwrite_stems"] is True


@pytest.mark.parametrize("streamed", [False, True])
def test_where_stems_cannot_be_kept_the_result_is_and_says_so(
    start_session, write_song, tmp_path, monkeypatch, streamed
):
    if streamed:
        monkeypatch.setattr(streaming, "STREAMED_FROM_S", 1.0)
        monkeypatch.setattr(streaming, "STREAM_FRAMES", FRAMES_PER_SECOND)

    def full(self, samples):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StereoWriter, "write", full)
    result = analysed(start_session(keep_stems=True), write_song(seconds=4.0))
    assert ran_demix(result)
    assert any("cannot be written: the disk is full" in text for text in result.warnings)
    assert not (tmp_path / "demix").exists()


def test_a_song_replaced_while_it_is_separated_keeps_no_stems(
    start_session, write_song, separator, monkeypatch
):
    path = write_song(seconds=3.0)
    other = write_song("other.wav", 3.0, seed=1)
    run = separator.__call__

    def replace_the_song(self, mix, task):
        if other.exists():
            other.replace(path)
        return run(self, mix, task)

    monkeypatch.setattr(separator, "__call__", replace_the_song)
    result = analysed(start_session(keep_stems=True), path)
    assert any("the song changed while it was separated" in text for text in result.warnings)
    assert ran_demix(analysed(start_session(keep_stems=True), path))
    assert not ran_demix(analysed(start_session(), path))


def test_a_disk_without_room_is_reported_before_a_song_is_separated(
    start_session, write_song, monkeypatch
):
    path = write_song(seconds=4.0)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: SimpleNamespace(total=10**12, free=5_000_000)
    )
    with pytest.raises(OutputError, match="the disk is full"):
        analysed(start_session(keep_stems=True), path)


def test_random_weights_are_reported(start_session, write_song):
    path = write_song(seconds=3.0)
    random = DemixParameters(weights="random:3")
    for _ in range(2):  # stems that were kept are no better
        result = analysed(start_session(keep_stems=True, demix=random), path)
        assert any("with random weights (random:3)" in text for text in result.warnings)
    assert not any("random" in text for text in analysed(start_session(), path).warnings)
