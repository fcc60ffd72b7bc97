"""Conformance of executors, tested with a few short songs."""

from __future__ import annotations

import inspect
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import pytest
import soundfile

from allin1_core.contracts.audio import SAMPLE_RATE
from allin1_core.contracts.executor import Executor
from allin1_core.contracts.rules import show
from allin1_core.contracts.stages import STAGES, Stage
from allin1_core.errors import PLUGIN_FAILURES, Allin1Error, SettingsError, in_full
from allin1_core.plugins.collecting import collect_offers
from allin1_core.plugins.loading import load_plugins
from allin1_core.plugins.options import options_of
from allin1_core.runtime.analysis import ResultOptions
from allin1_core.runtime.assembly import SessionOptions
from allin1_core.runtime.batch import Outcome, run_batch
from allin1_core.runtime.executors import ExecutorSetup
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import Track, make_tracks
from allin1_core.runtime.worker_process import SessionRecipe
from allin1_core.selection.probing import load_target
from allin1_core.testing.conformance.backend import prints
from allin1_core.testing.conformance.offered import (
    OfferedConformance,
    assert_options_are_explained,
    load_alone,
)
from allin1_core.testing.signals import music_mix
from allin1_core.testing.watching import printed, threads_beside

#: Names of the songs; the file of the last one contains no audio.
_SONGS, _BROKEN = ("c", "a", "b"), "broken"

#: Model and backends, in all processes, regardless of what else is installed or configured.
_MODEL = "builtin-0"
_BACKENDS: dict[Stage, str] = {
    stage: "reference-mix" if stage == "spectrogram" else "reference" for stage in STAGES[1:]
}
_OPTIONS: SessionOptions = {"backends": _BACKENDS, "cache": False, "threads": 1}


class ExecutorConformance(OfferedConformance):
    """Requirements for every executor. It has to analyse a few short songs with the reference backends.

    Attributes
    ----------
    hooks
        What its entry point names: the module with the hooks.
    executor
        Name of the executor.
    options
        Values of its options that differ from the defaults.
    """

    executor: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}

    def record(self) -> Executor:
        """Find the executor among those that the hooks provide."""
        plugins, plugin = load_alone(self.hooks)
        executors = collect_offers(plugins).executors.values()
        return self.find("executor", self.executor, executors, plugin).item

    # The tests.

    def test_its_record_is_well_formed(self) -> None:
        record = self.record()
        assert record.summary, "it has no summary: say in a line where it runs the songs"
        assert_options_are_explained(record.options)

    def test_it_takes_what_a_batch_is_called_with(self) -> None:
        self.record()
        given = ("out_dir", "overwrite", "progress", *ResultOptions.__annotations__)
        try:
            with _made(self._key) as runner:
                run = getattr(runner, "run", None)
                assert callable(run), f"its target gave {show(runner)}: give what has a method run"
                inspect.signature(run).bind([], **dict.fromkeys(given))
        except SettingsError as error:
            pytest.skip(f"it cannot run here: {error}")
        except TypeError as error:
            pytest.fail(
                f"its run() does not take all arguments of a batch ({error}): take **options, and"
                " pass them on to run_batch"
            )

    def test_it_runs_a_batch(self) -> None:
        self.record()
        seen = _observe(self._key)
        if seen.unable:
            pytest.skip(seen.unable)
        assert not seen.failure, (
            f"{seen.failure}: give an Outcome for each song, one with an error for one that fails"
        )

    def test_each_song_has_one_outcome(self) -> None:
        seen = self._seen()
        for name in (*_SONGS, _BROKEN):
            count = len(seen.statuses.get(name, ()))
            assert count == 1, f"{name} has {count} outcomes: give one for each track"
        more = seen.statuses.keys() - {*_SONGS, _BROKEN}
        assert not more, f"it gives outcomes for {', '.join(more)}, which it was not given"

    def test_a_song_that_fails_costs_itself_alone(self) -> None:
        seen = self._seen()
        lost = [name for name in _SONGS if "done" not in seen.statuses.get(name, ())]
        assert not lost, (
            f"beside a song that holds no audio, {', '.join(lost)} are not done:"
            " analyse each by itself"
        )
        of_broken = seen.statuses.get(_BROKEN, [])
        assert of_broken == ["failed"], (
            f"a song that holds no audio is {' and '.join(of_broken) or 'left out'}: it has failed,"
            " and its outcome says why"
        )

    def test_results_are_those_of_this_process(self) -> None:
        beats, wanted = self._seen().beats, _wanted()
        for name in _SONGS:
            assert beats.get(name) == wanted[name], (
                f"{name} has other beats than in this process: make the session by the recipe, and"
                " hand on the track as it is"
            )

    def test_results_are_written_into_the_folder(self) -> None:
        lacking = {f"{name}.json" for name in _SONGS} - self._seen().files
        assert not lacking, f"out_dir lacks {', '.join(sorted(lacking))}: hand it on to run_batch"

    def test_what_is_up_to_date_is_skipped(self) -> None:
        again = self._seen().again
        new = [name for name in _SONGS if again.get(name) != ["skipped"]]
        assert not new, (
            f"run again, {', '.join(new)} are not skipped: let run_batch look at what is in out_dir"
        )

    def test_it_can_be_stopped(self) -> None:
        error = self._seen().stopping
        assert not error, f"closing its generator raised {error}: end what runs, and raise nothing"

    def test_an_exception_of_progress_ends_the_batch(self) -> None:
        error = self._seen().progress
        assert not error, (
            f"when the caller's progress raises an exception, it {error}: let it pass, and stop what"
            " still runs"
        )

    def test_stdout_stays_clean(self) -> None:
        text = self._seen().printed
        assert not text, prints(text)

    def test_no_thread_is_left_that_keeps_a_program_from_ending(self) -> None:
        names = self._seen().threads
        assert not names, f"it leaves threads behind ({', '.join(names)}): end them with the batch"

    @property
    def _key(self) -> _Key:
        return self.hooks, self.executor, tuple(sorted(self.options.items()))

    def _seen(self) -> _Seen:
        self.record()
        seen = _observe(self._key)
        if seen.unable or seen.failure:
            pytest.skip(seen.unable or "it is looked at once it runs a batch")
        return seen


#: Hooks, name and options of an executor, which is run once for all tests.
_Key = tuple[str, str, tuple[tuple[str, Any], ...]]


@dataclass
class _Seen:
    """Results of the runs.

    Attributes
    ----------
    unable, failure
        Why the executor cannot run here; how it failed.
    statuses, again
        Statuses of the outcomes of each song, by its name; the same for a second run.
    beats
        By song.
    files
        Names of the files that were written.
    stopping
        Exception raised when the generator was closed early.
    progress
        What happened instead when the caller's progress raised an exception.
    printed, threads
        Output to stdout; names of threads that are left.
    """

    unable: str = ""
    failure: str = ""
    statuses: dict[str, list[str]] = field(default_factory=dict)
    again: dict[str, list[str]] = field(default_factory=dict)
    beats: dict[str, list[float]] = field(default_factory=dict)
    files: frozenset[str] = frozenset()
    stopping: str = ""
    progress: str = ""
    printed: str = ""
    threads: tuple[str, ...] = ()


@lru_cache
def _observe(key: _Key) -> _Seen:
    """Run the songs, and collect the results."""
    seen = _Seen()
    known = threading.enumerate()
    with tempfile.TemporaryDirectory() as name, printed() as texts:
        folder = Path(name)
        tracks = _tracks(folder)
        try:
            _run(key, tracks, folder / "out", seen)
        except SettingsError as error:
            seen.unable = f"it cannot run here: {error}"
        except PLUGIN_FAILURES as error:
            seen.failure = f"it raised {in_full(error)}"
    seen.printed = texts[0] if texts else ""
    seen.threads = tuple(thread.name for thread in threads_beside(known) if not thread.daemon)
    return seen


def _run(key: _Key, tracks: list[Track], out: Path, seen: _Seen) -> None:
    """Run the songs twice, stop a third run, and let the progress of a fourth raise an exception."""
    for statuses in (seen.statuses, seen.again):
        with _made(key) as runner:
            for outcome in runner.run(tracks, out_dir=out, only="beats"):
                if not isinstance(outcome, Outcome):
                    seen.failure = f"it gave {show(outcome)}; wanted an Outcome"
                    return
                if outcome.status == "failed" and not isinstance(outcome.error, Allin1Error):
                    seen.failure = f"it gave a failed outcome with the error {show(outcome.error)}"
                    return
                name = outcome.track.name
                statuses.setdefault(name, []).append(outcome.status)
                if outcome.result is not None:
                    seen.beats[name] = outcome.result.beats
    seen.files = frozenset(path.name for path in out.glob("*"))
    with _made(key) as runner:
        outcomes = runner.run(tracks[1:], only="beats")
        next(iter(outcomes), None)
        try:
            getattr(outcomes, "close", lambda: None)()
        except PLUGIN_FAILURES as error:
            seen.stopping = in_full(error)
    with _made(key) as runner:
        seen.progress = _raise_in_progress(runner, tracks[1:])


class _CancelledError(Exception):
    """Raised by the caller's progress."""


def _raise_in_progress(runner: Any, tracks: list[Track]) -> str:
    """Let the progress of a run raise an exception; return what the executor did instead of letting it pass."""
    raised: list[BaseException] = []

    def progress(*_: object) -> None:
        raised.append(_CancelledError())
        raise raised[0]

    try:
        for outcome in runner.run(tracks, only="beats", progress=progress):
            if raised:
                return f"gives an outcome that is {outcome.status}"
    except PLUGIN_FAILURES as error:
        return "" if raised and error is raised[0] else f"raises {in_full(error)}"
    return "catches it" if raised else ""


@contextmanager
def _made(key: _Key) -> Iterator[Any]:
    """Create the executor for one process, without a device."""
    hooks, name, options = key
    plugins, plugin = load_alone(hooks)
    set_up: SessionOptions = {**_OPTIONS, "plugin_options": {plugin: dict(options)}}
    with Session(_MODEL, plugins=plugins, **set_up) as session:
        executors = session.offers.executors.values()
        record = next(o.item for o in executors if (o.plugin.name, o.item.name) == (plugin, name))
        values = options_of(record, plugin, session.plugin_options)
        recipe = SessionRecipe(_MODEL, dict(_OPTIONS))
        target: Any = load_target(record.target)
        yield target(ExecutorSetup(session, recipe, 1, (), values))


@lru_cache
def _wanted() -> dict[str, list[float]]:
    """Beats of each song, analysed in this process."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Session(_MODEL, plugins=load_plugins(autoload=False), **_OPTIONS) as session,
    ):
        outcomes = run_batch(session, _tracks(Path(folder))[1:], only="beats")
        return {one.track.name: one.result.beats for one in outcomes if one.result is not None}


def _tracks(folder: Path) -> list[Track]:
    """Write the songs, the broken one first. They differ in length, and therefore in their beats."""
    broken, *paths = [folder / f"{name}.wav" for name in (_BROKEN, *_SONGS)]
    broken.write_bytes(b"no audio")
    for number, path in enumerate(paths):
        soundfile.write(path, music_mix(1.2 + 0.5 * number).samples.T, SAMPLE_RATE)
    return make_tracks([broken, *paths])
