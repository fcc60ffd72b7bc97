"""An album of twenty songs, two of which are damaged, from files to results."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import soundfile

from allin1_core.contracts.spectrogram import FRAMES_PER_SECOND
from allin1_core.errors import AudioError
from allin1_core.io.results import load_result
from allin1_core.runtime import streaming
from allin1_core.runtime.batch import run_batch
from allin1_core.runtime.track import make_tracks

COUNT = 20
NO_AUDIO, NOT_A_NUMBER = 5, 13


@pytest.fixture
def album(write_song, tmp_path):
    """Songs of one to two seconds in several formats and rates; one is no audio, one holds an infinity."""
    paths = []
    for number in range(COUNT):
        extension, rate = [("wav", 44_100), ("flac", 48_000), ("ogg", 22_050)][number % 3]
        seconds = 1.0 + 0.05 * number
        paths.append(write_song(f"album/{number:02}.{extension}", seconds, rate, seed=number))
    paths[NO_AUDIO].write_bytes(b"no audio at all" * 100)
    broken = 0.1 * np.ones((44_100, 2), np.float32)
    broken[30_000] = np.inf
    paths[NOT_A_NUMBER] = paths[NOT_A_NUMBER].with_suffix(".wav")
    soundfile.write(paths[NOT_A_NUMBER], broken, 44_100, subtype="FLOAT")
    return paths


@pytest.mark.parametrize("streamed", [False, True])
def test_eighteen_have_results_and_two_say_what_is_wrong(
    make_session, backend_plugin, separator, album, tmp_path, monkeypatch, caplog, streamed
):
    if streamed:
        monkeypatch.setattr(streaming, "STREAMED_FROM_S", 0.5)
        monkeypatch.setattr(streaming, "STREAM_FRAMES", FRAMES_PER_SECOND)
    out, told = tmp_path / "out", []
    plugins = {"mine": backend_plugin("demix", mine=separator)}
    options = {"keep_stems": True, "demix_dir": tmp_path / "demix"}
    with make_session(plugins=plugins, **options) as session:
        tracks = make_tracks(album)
        with caplog.at_level(logging.WARNING):
            outcomes = list(
                run_batch(
                    session, tracks, out_dir=out, progress=lambda index, *_: told.append(index)
                )
            )
        assert not session.engine.chooser.failures, "no backend is to blame"
    assert [outcome.track for outcome in outcomes] == tracks
    failed = {i: o.error for i, o in enumerate(outcomes) if o.error is not None}
    assert list(failed) == [NO_AUDIO, NOT_A_NUMBER]
    for number, error in failed.items():
        assert isinstance(error, AudioError)
        assert str(album[number]) in str(error)
    assert "inf at" in str(failed[NOT_A_NUMBER])
    whole = [number for number in range(COUNT) if number not in failed]
    names = [f"{number:02}" for number in whole]
    assert sorted(path.stem for path in out.iterdir()) == names
    kept = tmp_path / "demix" / "htdemucs"
    assert sorted(path.name for path in kept.iterdir()) == names
    for number in whole:
        result = load_result(out / f"{number:02}.json")
        assert result.path == album[number]
        assert result.segments[-1].end == pytest.approx(1.0 + 0.05 * number, abs=0.02)
        assert result.provenance.input["files"][0]["path"] == str(album[number])
        assert result.provenance.stages[0].backend == "mine"
    assert {*whole} <= {*told}
    assert caplog.text == ""
