"""Workers on an accelerator read ahead, those on the CPU do not, and no song is lost with a worker that dies."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from allin1_core.runtime import run_in_workers
from allin1_core.runtime.batch import Outcome
from allin1_core.runtime.executors import InWorkers
from allin1_core.runtime.run_in_workers import RunInWorkers
from allin1_core.runtime.track import make_tracks
from allin1_core.runtime.worker_process import SessionRecipe

#: A plugin with networks that look at which songs their process has begun to read.
PLUGIN = """
import os, time
from pathlib import Path
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.speed import Speed
from allin1_core.markers import hookimpl
from allin1_core.runtime.analysis import Analysis
from allin1_core.testing.foreign import BRIDGES, FOREIGN, on_foreign
import stand_in_plugin

FOLDER = Path(os.environ["ALLIN1_TEST_FOLDER"])
read, songs, calls = Analysis.read, [], []

def watched(analysis, *arguments):
    songs.append(analysis.track.name)
    read(analysis, *arguments)

Analysis.read = watched

def waiting(seconds, condition):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, songs
        time.sleep(0.01)

def create(step, wrap=lambda call: call):
    def factory(setup):
        (FOLDER / f"set-up-{os.getpid()}").touch()
        network = stand_in_plugin.network(setup)
        def run(spectrogram, task):
            calls.append(1)
            step()
            return network(spectrogram, task)
        return wrap(run)
    return factory

def wait_for_three():
    if not (FOLDER / "waited").exists():
        (FOLDER / "waited").touch()
        waiting(60, lambda: len(songs) >= 3)

def read_no_more():
    time.sleep(0.05)  # in which it could read
    assert len(songs) == len(calls), songs

def hang():
    waiting(60, lambda: len(songs) >= 2)
    (FOLDER / f"began-{os.getpid()}").touch()
    time.sleep(60)

on_npu = create(wait_for_three, on_foreign)
on_cpu = create(read_no_more)
hanging = create(hang, on_foreign)

def backend(name, target, space=None):
    spaces = {} if space is None else {"consumes": space, "produces": space}
    speed = (Speed("", 0, 1e-9, "a test"),)
    return Backend(name, "nn", f"reading_plugin:{target}", speed=speed, **spaces)

@hookimpl
def allin1_nn():
    return [
        backend("npu", "on_npu", FOREIGN),
        backend("hanging", "hanging", FOREIGN),
        backend("one-by-one", "on_cpu"),
    ]

@hookimpl
def allin1_bridges():
    return BRIDGES

@hookimpl
def allin1_result_written(track, result, path, folder):
    (FOLDER / f"written-{track}-{os.getpid()}").touch()
"""


@pytest.fixture
def npu(installed):
    """Install a plugin whose backend ``npu`` is on an accelerator; the first song waits until two more are read."""
    info = installed / "reading-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: reading\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[allin1]\nreading = reading_plugin\n")
    (installed / "reading_plugin.py").write_text(PLUGIN)
    return installed


def recipe(backend: str) -> SessionRecipe:
    return SessionRecipe("builtin", {"backends": {"nn": backend}, "cache": False})


@pytest.fixture
def songs(tmp_path):
    def make(*names: str):
        rng = np.random.default_rng(5)
        paths = [tmp_path / f"{name}.wav" for name in names]
        for path in paths:
            soundfile.write(path, rng.normal(0, 0.1, (44100, 2)), 44100)
        return make_tracks(paths)

    return make


def backends_of(outcomes: Sequence[Outcome]) -> set[str]:
    """The networks that were used, if none failed."""
    found = [outcome.result.provenance for outcome in outcomes]
    assert not any(provenance.fallbacks for provenance in found)
    return {s.backend for provenance in found for s in provenance.stages if s.stages == ("nn",)}


def written(folder: Path) -> list[str]:
    """Names of the songs whose results were written, in every process."""
    return sorted(path.name.split("-")[1] for path in folder.glob("written-*"))


def test_a_worker_reads_the_next_songs_while_an_accelerator_computes(npu, songs, tmp_path):
    told = set()
    tracks = songs(*"edcba")
    outcomes = list(
        InWorkers(recipe("npu"), 1).run(
            tracks, out_dir=tmp_path / "out", progress=lambda index, *_: told.add(index)
        )
    )
    assert [(o.track, o.status, o.error) for o in outcomes] == [
        (track, "done", None) for track in tracks
    ]
    assert backends_of(outcomes) == {"npu"}
    assert told == {*range(5)}
    assert written(tmp_path) == [*"abcde"]
    assert len([*tmp_path.glob("set-up-*")]) == 1


def test_two_workers_share_the_songs(npu, songs, tmp_path):
    tracks = songs(*"hgfedcba")
    outcomes = list(InWorkers(recipe("npu"), 2).run(tracks, out_dir=tmp_path / "out"))
    assert [(o.track, o.status) for o in outcomes] == [(track, "done") for track in tracks]
    assert backends_of(outcomes) == {"npu"}
    assert written(tmp_path) == [*"abcdefgh"]


def test_a_worker_on_the_cpu_has_one_song_at_a_time(npu, songs):
    tracks = songs(*"cba")
    outcomes = list(InWorkers(recipe("one-by-one"), 1).run(tracks))
    assert [(o.track, o.status, o.error) for o in outcomes] == [
        (track, "done", None) for track in tracks
    ]
    assert backends_of(outcomes) == {"one-by-one"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals")
def test_of_the_songs_of_a_worker_that_dies_only_the_cause_fails(npu, songs, tmp_path):
    tracks = songs("a", "dies", "b", "dies-killed", "c", "leaves", "d")
    outcomes = list(InWorkers(recipe("npu"), 1).run(tracks, out_dir=tmp_path / "out"))
    assert [o.track for o in outcomes] == tracks
    assert [o.status for o in outcomes] == ["done", "failed"] * 3 + ["done"]
    errors = [str(o.error) for o in outcomes if o.error]
    assert "dies.wav: The worker process that analysed it was ended by SIGSEGV" in errors[0]
    assert "was ended by SIGKILL in stage metrical_dbn. If memory was short" in errors[1]
    assert "ended with status 3" in errors[2]
    assert backends_of([o for o in outcomes if o.result]) == {"npu"}
    assert written(tmp_path) == [*"abcd"]
    # One that died with several songs, one for each cause alone, and the last.
    assert len([*tmp_path.glob("set-up-*")]) >= 5


def test_workers_pause_while_outcomes_are_not_taken(npu, songs, tmp_path, monkeypatch):
    monkeypatch.setattr(run_in_workers, "_MOST_WAITING", 1)
    outcomes = InWorkers(recipe("npu"), 1).run(songs(*"abcdefgh"), out_dir=tmp_path / "out")
    assert next(outcomes).track.name == "a"
    assert [o.track.name for o in outcomes] == [*"bcdefgh"]
    assert written(tmp_path) == [*"abcdefgh"]


def test_a_worker_gets_no_more_than_its_share_and_what_there_is_room_for(songs):
    run = RunInWorkers(songs(*"abcdefghij"), {}, None)
    run._threads = [threading.Thread()] * 2
    assert [run._next_index(in_flight) for in_flight in range(6)] == [0, 1, 2, 3, 4, None]
    run._finished = 1  # nine are left
    assert run._next_index(5) is None
    assert run._next_index(4) == 5
    run._finished = 4
    assert [run._next_index(in_flight) for in_flight in (3, 2, 0)] == [None, 6, 7]
    run._finished = 2 * run_in_workers._MOST_WAITING
    assert run._next_index(1) is None
    run._yielded = 4
    assert [run._next_index(0) for _ in range(3)] == [8, 9, None]


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def processes_of(folder: Path) -> list[int]:
    return [int(path.name.rpartition("-")[2]) for path in folder.glob("began-*")]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals")
def test_an_exception_of_the_callers_progress_ends_workers_that_wait_for_songs(
    npu, songs, tmp_path
):
    def progress(index, stage, fraction):
        if stage == "nn":
            wait_for(lambda: processes_of(tmp_path))
            raise KeyError(stage)

    with pytest.raises(KeyError, match="nn"):
        list(InWorkers(recipe("hanging"), 2).run(songs(*"abcd"), progress=progress))
    assert not any(map(is_running, processes_of(tmp_path)))
    assert not [t for t in threading.enumerate() if t.name.startswith("allin1-worker")]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals")
def test_a_worker_that_waits_for_songs_ends_with_its_parent(npu, songs, tmp_path):
    songs(*"abcd")
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            f"""
            import sys
            sys.path.insert(0, {str(npu)!r})
            from pathlib import Path
            from allin1_core.runtime.executors import InWorkers
            from allin1_core.runtime.track import make_tracks
            from allin1_core.runtime.worker_process import SessionRecipe
            songs = [Path({str(tmp_path)!r}) / f"{{name}}.wav" for name in "abcd"]
            recipe = SessionRecipe("builtin", {{"backends": {{"nn": "hanging"}}, "cache": False}})
            list(InWorkers(recipe, 2).run(make_tracks(songs)))
            """
        )
    )
    with subprocess.Popen([sys.executable, str(program)], stderr=subprocess.PIPE) as process:
        wait_for(lambda: len(processes_of(tmp_path)) == 2 or process.poll() is not None)
        process.kill()
        process.communicate(timeout=30)
    assert len(processes_of(tmp_path)) == 2
    wait_for(lambda: not any(map(is_running, processes_of(tmp_path))))
