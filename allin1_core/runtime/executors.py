"""Executors, which run a batch in this process or in worker processes.

An executor takes the tracks of a batch and yields their outcomes. The two in this module run on this machine, and keep the
order of the tracks; those of plugins (hook ``allin1_executors``) have the same interface, and may yield outcomes in any
order (:mod:`~allin1_core.runtime.checked_outcomes`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from allin1_core.contracts.options import OptionValue
from allin1_core.errors import SettingsError
from allin1_core.runtime.analysis import ResultOptions
from allin1_core.runtime.batch import Outcome, run_batch
from allin1_core.runtime.reading_ahead import usable_cpus
from allin1_core.runtime.run_in_workers import RunInWorkers
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import Track
from allin1_core.runtime.worker_process import SessionRecipe

if TYPE_CHECKING:
    from typing_extensions import Unpack


#: Called with the index of a track, the running stage, and the fraction of the track that is done.
BatchProgress = Callable[[int, str, float], None]


class BatchRunner(Protocol):
    """Runs a batch of tracks; returned by the target of an executor."""

    def run(
        self,
        tracks: Sequence[Track],
        *,
        out_dir: Path | None = None,
        overwrite: bool = False,
        progress: BatchProgress | None = None,
        **options: Unpack[ResultOptions],
    ) -> Iterator[Outcome]:
        """Analyse `tracks`, and yield an outcome for each.

        `progress` is called by one thread at a time. An exception that it raises ends the batch: it is raised here, what
        still runs is stopped, and results that are finished remain in `out_dir`.

        The executor of a plugin may yield them in any order, each as soon as it is available: the core returns them in the
        order of `tracks`. Parameters and errors are those of :func:`~allin1_core.runtime.batch.run_batch`. Closing the
        iterator stops what is still running.
        """
        ...


@dataclass(frozen=True)
class ExecutorSetup:
    """The arguments for creating an executor.

    Attributes
    ----------
    session
        Session of this process. It sets up backends on first use, so an unused session costs little.
    recipe
        How other processes create an equivalent session. It can be pickled.
    jobs
        Number of processes that the user requested; None if not specified.
    devices
        Devices that the user listed; empty if none.
    options
        Values of the options that the executor declares.
    """

    session: Session
    recipe: SessionRecipe
    jobs: int | None = None
    devices: tuple[str, ...] = ()
    options: Mapping[str, OptionValue] = field(default_factory=dict)


class ExecutorTarget(Protocol):
    """Sets up an executor."""

    def __call__(self, setup: ExecutorSetup, /) -> BatchRunner:
        """Return the object that runs the batch; its method :meth:`BatchRunner.run` is called once.

        Raise :class:`~allin1_core.errors.SettingsError` if it cannot do what is requested.
        """
        ...


def create_local(setup: ExecutorSetup) -> BatchRunner:
    """The executor ``local``: this process for one job, otherwise a process per job; by default, one job per device."""
    jobs = setup.jobs or max(1, len(setup.devices))
    if jobs == 1:
        return InProcess(setup.session)
    return InWorkers(setup.recipe, jobs, setup.devices)


class InProcess:
    """Runs a batch in this process.

    Parameters
    ----------
    session
        Session that does the work; it is not closed.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def run(
        self,
        tracks: Sequence[Track],
        *,
        out_dir: Path | None = None,
        overwrite: bool = False,
        progress: BatchProgress | None = None,
        **options: Unpack[ResultOptions],
    ) -> Iterator[Outcome]:
        """Analyse `tracks` one after another, reading ahead."""
        return run_batch(
            self._session,
            tracks,
            out_dir=out_dir,
            overwrite=overwrite,
            progress=progress,
            **options,
        )


class InWorkers:
    """Runs a batch in several processes on this machine, each with a session and a share of the threads.

    Processes are started as programs: the caller needs no ``if __name__ == "__main__"`` guard, and may have threads,
    locks and devices of its own. If a worker dies, only the track that caused it fails, and the worker is replaced.
    Workers that compute on an accelerator read ahead.

    Parameters
    ----------
    recipe
        How each worker creates its session.
    workers
        Number of processes; at most one per track is started.
    devices
        Devices to distribute among the workers in turn; if empty, each uses the device of the recipe.

    Raises
    ------
    SettingsError
        The recipe has an option that several processes do not support.
    """

    def __init__(self, recipe: SessionRecipe, workers: int, devices: Sequence[str] = ()) -> None:
        refuse_single_process_options(recipe)
        if workers < 1:
            raise SettingsError(f"There are {workers} workers; wanted 1 or more (-j).")
        self._recipe = recipe
        self._workers = workers
        self._devices = tuple(devices)

    def run(
        self,
        tracks: Sequence[Track],
        *,
        out_dir: Path | None = None,
        overwrite: bool = False,
        progress: BatchProgress | None = None,
        **options: Unpack[ResultOptions],
    ) -> Iterator[Outcome]:
        """Analyse `tracks`, each by the next worker that has time for it."""
        count = min(self._workers, len(tracks))
        if not count:
            return
        given: dict[str, Any] = {"out_dir": out_dir, "overwrite": overwrite, **options}
        # The cost of a set-up is spread over all songs of a worker.
        given["songs"] = math.ceil(len(tracks) / count)
        run = RunInWorkers(tracks, given, progress)
        for number in range(count):
            run.start(self._recipe_of(number, count))
        try:
            yield from run.outcomes()
        finally:
            run.stop()

    def _recipe_of(self, number: int, count: int) -> SessionRecipe:
        options = dict(self._recipe.options)
        threads = options.get("threads") or usable_cpus()
        options["threads"] = max(1, threads // count)
        if self._devices:
            options["device"] = self._devices[number % len(self._devices)]
        recipe = self._recipe
        return SessionRecipe(recipe.model, options, recipe.block, recipe.strict)


#: Options that several processes do not support, and what to do instead.
_NOT_IN_WORKERS = {
    "calibrate": "Measure this machine first: allin1 bench.",
    "timings_viz_path": "Draw the timings of a single process, without -j.",
}


def refuse_single_process_options(recipe: SessionRecipe) -> None:
    """Raise an error if `recipe` has an option that several processes do not support.

    Raises
    ------
    SettingsError
        States which option it is, and what to do instead.
    """
    for name, remedy in _NOT_IN_WORKERS.items():
        if recipe.options.get(name):
            raise SettingsError(f"{name} cannot be combined with workers.", remedy=remedy)
