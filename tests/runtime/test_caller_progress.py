"""An exception of the caller's progress ends the run with every executor, unchanged, and keeps what is finished."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import allin1_core as allin1
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.executor import Executor
from allin1_core.contracts.logits import Logits
from allin1_core.contracts.speed import Speed
from allin1_core.errors import BackendError, InputError, SelectionError, WeightsError
from allin1_core.plugins import loading
from allin1_core.runtime import session as session_module
from allin1_core.runtime.batch import Outcome
from allin1_core.runtime.caller_progress import CallerProgress
from allin1_core.runtime.executors import InProcess, InWorkers
from allin1_core.runtime.session import Session

#: Exceptions that have a meaning for the core when a backend or the input raises them.
EXCEPTIONS = [
    KeyError("no such row"),
    InputError("This is the caller's."),
    SelectionError("This is the caller's."),
    WeightsError("This is the caller's."),
    MemoryError(),
    SystemExit(3),
    KeyboardInterrupt(),
]
STAND_IN = {"model": "builtin", "backends": {"nn": "stand-in"}}


def raising(error: BaseException, number: int = 1, stage: str = "nn"):
    """A progress that raises an exception once a song reaches a stage."""

    def progress(index: int, running: str, fraction: float) -> None:
        if (index, running) == (number, stage):
            raise error

    return progress


@pytest.fixture
def songs(write_song):
    return [write_song(f"{name}.wav", 3.0, seed=seed) for seed, name in enumerate("abc")]


def threads_left() -> list[str]:
    names = [t.name for t in threading.enumerate()]
    # The thread that imports libraries ends by itself.
    return [name for name in names if name.startswith("allin1-") and name != "allin1-prepare"]


@pytest.mark.parametrize(
    ("jobs", "error"),
    # What passes through workers does not depend on the kind of exception.
    [*((1, error) for error in EXCEPTIONS), (2, EXCEPTIONS[0]), (2, SystemExit(3))],
    ids=lambda value: value if isinstance(value, int) else type(value).__name__,
)
def test_it_ends_a_batch_and_the_next_run_continues_it(installed, songs, tmp_path, jobs, error):
    out = tmp_path / "out"
    with pytest.raises(type(error)) as caught:
        allin1.analyze(songs, out, jobs=jobs, progress=raising(error), **STAND_IN)
    assert caught.value is error
    assert threads_left() == []
    left = sorted(path.name for path in out.glob("*.json"))
    assert "b.json" not in left
    assert set(left) <= {"a.json", "c.json"}
    if jobs == 1:
        assert left == ["a.json"]
    outcomes = list(allin1.analyze_iter(songs, out, jobs=jobs, **STAND_IN))
    assert [o.status for o in outcomes] == [
        "skipped" if f"{name}.json" in left else "done" for name in "abc"
    ]


@pytest.mark.parametrize("jobs", [1, 2])
def test_it_ends_the_analysis_of_one_song(installed, songs, jobs):
    error = KeyError("no such row")
    with pytest.raises(KeyError) as caught:
        allin1.analyze(songs[0], jobs=jobs, progress=raising(error, 0), **STAND_IN)
    assert caught.value is error
    with Session("builtin", backends={"nn": "stand-in"}) as session:
        for progress in (lambda *_: 1 / 0, lambda: None):
            with pytest.raises((ZeroDivisionError, TypeError)):
                session.analyze(songs[0], progress=progress)
        assert session.engine.chooser.failures == {}
        assert session.analyze(songs[0]).provenance.fallbacks == ()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals")
def test_workers_that_analyse_other_songs_are_stopped(installed, write_song, tmp_path):
    songs = [write_song(f"{name}.wav", 3.0) for name in ("sleeps-1", "a", "sleeps-2", "b")]
    deadline = time.monotonic() + 60

    def progress(index: int, stage: str, fraction: float) -> None:
        while index and not list(tmp_path.glob("began-sleeps-1-*")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        if index:
            raise KeyError

    outcomes = allin1.analyze_iter(songs, jobs=2, progress=progress, **STAND_IN)
    with pytest.raises(KeyError):
        next(outcomes)
    (sleeping,) = tmp_path.glob("began-sleeps-1-*")
    assert not Path(f"/proc/{sleeping.name.rpartition('-')[2]}").exists()
    assert threads_left() == []


class Swallowing:
    """A network that catches what progress raises, and goes on."""

    def __init__(self, setup) -> None:
        pass

    def __call__(self, spectrogram, task):
        with suppress(Exception):
            task.progress(0.5)
        length = spectrogram.frames.shape[1]
        beat = np.full(length, -9, np.float32)
        beat[20::50] = 9
        return Logits(beat, np.roll(beat, 7), beat - 1, np.zeros((10, length), np.float32))


class Wrapping(Swallowing):
    """A network that takes what progress raises for a failure of its own."""

    def __call__(self, spectrogram, task):
        try:
            task.progress(0.5)
        except Exception as error:
            raise BackendError("The kernel failed.") from error
        raise AssertionError


@pytest.mark.parametrize("network", [Swallowing, Wrapping])
def test_a_backend_that_catches_it_cannot_hide_it(make_session, backend_plugin, stems, network):
    plugin = backend_plugin("nn", mine=network)
    told = []

    def progress(stage: str, fraction: float) -> None:
        told.append(stage)
        if stage == "nn" and told.count("nn") > 2:
            raise KeyError

    with make_session(plugins={"mine": plugin}, backends={"nn": "mine"}) as session:
        with pytest.raises(KeyError):
            session.run(stems, progress=progress)
        assert told[-1] == "nn"


def test_observers_hear_of_a_cancelled_song_as_little_as_of_ctrl_c(
    make_session, make_plugin, stems
):
    told = []
    plugin = make_plugin(allin1_track_finished=lambda track, result, error: told.append(error))
    with make_session(plugins={"mine": plugin}) as session:
        with pytest.raises(InputError):
            session.analyze(stems.source, progress=_stop)
        assert told == []
        with pytest.raises(InputError):
            session.analyze("missing.wav", progress=_stop)
    assert len(told) <= 1


def _stop(stage: str, fraction: float) -> None:
    raise InputError("This is the caller's.")


def _passing(tracks, setup, options):
    yield from InProcess(setup.session).run(tracks, **options)


def _swallowing(tracks, setup, options):
    def of_one(track):
        try:
            return next(InProcess(setup.session).run([track], **options))
        except Exception as error:
            return Outcome(track, error=BackendError(str(error)), status="failed")

    yield from map(of_one, tracks)


def _wrapping(tracks, setup, options):
    try:
        yield from InProcess(setup.session).run(tracks, **options)
    except Exception as error:
        raise RuntimeError("The cluster failed.") from error


def _dropping(tracks, setup, options):
    with suppress(Exception):
        yield from InProcess(setup.session).run(tracks, **options)


def _in_workers(tracks, setup, options):
    recipe = replace(setup.recipe, options={"backends": {"nn": "stand-in"}})
    yield from InWorkers(recipe, 2).run(tracks, **options)


@pytest.mark.parametrize("way", [_passing, _swallowing, _wrapping, _dropping, _in_workers])
def test_it_ends_a_batch_of_a_plugins_executor(
    installed, isolated_plugins, make_plugin, monkeypatch, songs, way
):
    class Mine:
        def __init__(self, setup):
            self.setup = setup

        def run(self, tracks, **options):
            return way(tracks, self.setup, options)

    module = ModuleType("executor_of_a_test")
    module.create = Mine
    monkeypatch.setitem(sys.modules, module.__name__, module)
    record = Executor("mine", "For a test", "executor_of_a_test:create")
    network = Backend(
        "stand-in", "nn", "stand_in_plugin:network", speed=(Speed("", 0, 1e-9, "a test"),)
    )
    plugin = make_plugin(allin1_executors=lambda: [record], allin1_nn=lambda: [network])
    plugins = isolated_plugins(mine=plugin)
    for part in (loading, session_module):
        monkeypatch.setattr(part, "load_plugins", lambda **_: plugins)
    error = InputError("This is the caller's.")
    outcomes = allin1.analyze_iter(
        songs, executor="mine", progress=raising(error, 0), only="beats", **STAND_IN
    )
    with pytest.raises(InputError) as caught:
        next(outcomes)
    assert caught.value is error
    assert threads_left() == []


def test_calls_after_an_exception_raise_it_again_without_the_callback():
    told = []

    def progress(value: int) -> None:
        told.append(value)
        raise KeyError(value)

    caller = CallerProgress(progress)
    caller.check()
    for value in (1, 2):
        with pytest.raises(KeyError, match="1"):
            caller(value)
    assert told == [1]
    assert caller.has_raised
    with pytest.raises(KeyError, match="1"):
        caller.check()
    CallerProgress(None)(1)
