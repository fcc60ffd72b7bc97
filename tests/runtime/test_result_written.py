"""Plugins are notified of results once these are in place, and cannot damage them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from allin1_core.io.results import load_result
from allin1_core.runtime.batch import run_batch
from allin1_core.runtime.executors import InWorkers
from allin1_core.runtime.track import track_of
from allin1_core.runtime.worker_process import SessionRecipe

NOTES = """

@hookimpl
def allin1_result_written(track, result, path, folder):
    assert path.is_file()
    (folder / f"{track}.note").write_text(f"{path.name} {result.bpm} {os.getpid()}")
"""


def test_it_is_called_after_the_result_lies_in_its_place(
    make_session, make_plugin, stems, tmp_path
) -> None:
    heard = []

    def allin1_result_written(track, result, path, folder):
        heard.append((track, result.bpm, path, folder, load_result(path).bpm))
        assert path.with_name("song.activ.npz").is_file()
        result.beats.clear()

    track, out = track_of(stems.source), tmp_path / "out"
    with make_session(plugins={"a": make_plugin(allin1_result_written=allin1_result_written)}) as s:
        (outcome,) = run_batch(s, [track], out_dir=out, include_activations=True)
        (again,) = run_batch(s, [track], out_dir=out, include_activations=True)
        assert s.analyze(track).beats  # nothing is written
    bpm = outcome.result.bpm
    assert heard == [("song", bpm, out / "song.json", out, bpm)]
    assert outcome.result.beats
    assert again.status == "skipped"


@pytest.mark.parametrize("error", [RuntimeError("full"), SystemExit(1)])
def test_what_it_raises_costs_a_warning_and_nothing_else(
    make_session, make_plugin, stems, tmp_path, caplog, error
) -> None:
    def allin1_result_written(track, path):
        raise error

    with make_session(plugins={"a": make_plugin(allin1_result_written=allin1_result_written)}) as s:
        (outcome,) = run_batch(s, [track_of(stems.source)], out_dir=tmp_path)
    assert outcome.status == "done"
    assert outcome.written.is_file()
    assert "Plugin a raised in allin1_result_written" in caplog.text


def test_in_a_batch_of_workers_the_one_that_wrote_it_calls(
    installed, write_stems, tmp_path
) -> None:
    source = Path(installed) / "stand_in_plugin.py"
    source.write_text(source.read_text() + NOTES)
    track = track_of(write_stems(tmp_path / "a", seconds=3.0).source)
    out = tmp_path / "out"
    recipe = SessionRecipe("builtin", {"backends": {"nn": "stand-in"}})
    (outcome,) = InWorkers(recipe, 1).run([track], out_dir=out)
    assert outcome.error is None
    name, _, pid = (out / "a.note").read_text().split()
    assert name == "a.json"
    assert int(pid) != os.getpid()
