"""Batches in this process and in workers have the same outcomes in the same order, even if workers die."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from allin1_core.errors import SettingsError, WeightsError
from allin1_core.io.results import load_result
from allin1_core.runtime.executors import InProcess, InWorkers
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import make_tracks
from allin1_core.runtime.worker_process import SessionRecipe

RECIPE = SessionRecipe("builtin", {"backends": {"nn": "stand-in"}})


@pytest.fixture
def tracks(tmp_path):
    """Make songs of two seconds."""

    def make(*names: str):
        rng = np.random.default_rng(3)
        paths = []
        for name in names:
            paths.append(tmp_path / f"{name}.wav")
            level = 1e-6 if name == "silent" else 0.1
            soundfile.write(paths[-1], rng.normal(0, level, (88200, 2)), 44100, subtype="FLOAT")
        return make_tracks(paths)

    return make


def test_workers_give_what_this_process_gives_in_the_same_order(installed, tracks, tmp_path):
    songs = tracks(*"edcba")
    (tmp_path / "d.wav").write_bytes(b"no audio")
    told = []
    with Session(RECIPE.model, **RECIPE.options) as session:
        one = list(InProcess(session).run(songs, out_dir=tmp_path / "one"))
    other = list(
        InWorkers(RECIPE, 2).run(
            songs, out_dir=tmp_path / "two", progress=lambda *told_now: told.append(told_now)
        )
    )
    assert [o.track for o in other] == songs
    assert [(o.status, str(o.error)) for o in one] == [(o.status, str(o.error)) for o in other]
    assert [o.status for o in other] == ["done", "failed", "done", "done", "done"]
    assert [o.result and o.result.beats for o in one] == [
        o.result and o.result.beats for o in other
    ]
    assert load_result(tmp_path / "two" / "a.json").beats == one[-1].result.beats
    assert {index for index, _, _ in told} == {0, 2, 3, 4}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals")
def test_a_worker_that_dies_costs_its_track_and_is_replaced(installed, tracks, tmp_path):
    songs = tracks("a", "dies", "b", "dies-killed", "c", "leaves", "d")
    outcomes = list(InWorkers(RECIPE, 2).run(songs, out_dir=tmp_path / "out"))
    assert [o.status for o in outcomes] == ["done", "failed"] * 3 + ["done"]
    errors = [str(o.error) for o in outcomes if o.error]
    assert "dies.wav: The worker process that analysed it was ended by SIGSEGV" in errors[0]
    assert "was ended by SIGKILL in stage metrical_dbn. If memory was short" in errors[1]
    assert "ended with status 3" in errors[2]


def test_what_a_worker_prints_and_logs_does_not_disturb(installed, tracks, caplog):
    with caplog.at_level(logging.WARNING):
        (outcome,) = InWorkers(RECIPE, 2).run(tracks("prints"))
    assert outcome.status == "done"
    assert "heard from prints" in caplog.messages


def test_an_error_of_a_worker_has_its_traceback(installed, tracks):
    (outcome,) = InWorkers(RECIPE, 1).run(tracks("silent"))
    assert "as asked" in str(outcome.error)
    assert 'raise ValueError("as asked of a silent song")' in str(outcome.error.__cause__)


def test_what_ends_a_batch_ends_it_with_workers_too(installed, tracks, tmp_path, monkeypatch):
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "none"))
    recipe = SessionRecipe(
        "harmonix-fold0", {"weights_dir": str(tmp_path), "backends": {"nn": "reference"}}
    )
    monkeypatch.setenv("ALLIN1_OFFLINE", "1")
    monkeypatch.setenv("ALLIN1_WEIGHTS_DIR", str(tmp_path))
    folder = tmp_path / "stems"
    folder.mkdir()
    for stem in ("bass", "drums", "other", "vocals"):
        soundfile.write(folder / f"{stem}.wav", np.zeros(44100) + 0.01, 44100)
    (tmp_path / "harmonix-fold0-0vra4ys2.pth").write_bytes(b"damaged")
    with pytest.raises(WeightsError):
        list(InWorkers(recipe, 2).run(make_tracks((), [folder])))


def test_an_error_of_a_workers_session_is_reported_unchanged(installed, tracks):
    with pytest.raises(SettingsError, match="mine"):
        list(
            InWorkers(SessionRecipe("builtin", {"plugin_options": {"mine": {"a": 1}}}), 2).run(
                tracks("a")
            )
        )


def processes_of(folder: Path) -> list[int]:
    return [int(path.name.rpartition("-")[2]) for path in folder.glob("began-*")]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals")
def test_closing_the_iterator_ends_the_workers(installed, tracks, tmp_path):
    outcomes = InWorkers(RECIPE, 2).run(tracks("a", "sleeps-1", "b", "sleeps-2"))
    assert next(outcomes).status == "done"
    wait_for(lambda: processes_of(tmp_path))
    outcomes.close()
    assert not any(map(is_running, processes_of(tmp_path)))
    assert not [t for t in threading.enumerate() if t.name.startswith("allin1-worker")]


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_workers_end_with_their_parent_which_needs_no_guard(installed, tracks, tmp_path, name):
    import signal

    tracks("sleeps-1", "sleeps-2")
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            f"""
            import sys
            sys.path.insert(0, {str(tmp_path / "site")!r})
            from pathlib import Path
            from allin1_core.runtime.executors import InWorkers
            from allin1_core.runtime.track import make_tracks
            from allin1_core.runtime.worker_process import SessionRecipe
            songs = [Path({str(tmp_path)!r}) / f"sleeps-{{i}}.wav" for i in (1, 2)]
            recipe = SessionRecipe("builtin", {{"backends": {{"nn": "stand-in"}}}})
            list(InWorkers(recipe, 2).run(make_tracks(songs)))
            """
        )
    )
    with subprocess.Popen(
        [sys.executable, str(program)],
        stderr=subprocess.PIPE,
        # Whoever runs the tests in the background may ignore it, which is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        wait_for(lambda: len(processes_of(tmp_path)) == 2 or process.poll() is not None)
        process.send_signal(getattr(signal, name))
        _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert name == "SIGKILL" or b"KeyboardInterrupt" in errors
    assert b"Fatal Python error" not in errors
    wait_for(lambda: not any(map(is_running, processes_of(tmp_path))))


@pytest.mark.parametrize("name", ["calibrate", "timings_viz_path"])
def test_what_several_processes_cannot_do_is_refused(name):
    with pytest.raises(SettingsError, match=name):
        InWorkers(SessionRecipe(None, {name: "x"}), 2)


def test_each_worker_has_its_device_and_its_share_of_threads():
    workers = InWorkers(SessionRecipe(None, {"threads": 8}), 4, ("cuda:0", "cuda:1"))
    recipes = [workers._recipe_of(number, 4) for number in range(4)]
    assert [r.options["device"] for r in recipes] == ["cuda:0", "cuda:1"] * 2
    assert {r.options["threads"] for r in recipes} == {2}
