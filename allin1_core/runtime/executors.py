"""Executors, which run a batch in this process or in worker processes.

An executor takes the tracks of a batch and yields their outcomes. The two in this module run on this machine, and keep the
order of the tracks; those of plugins (hook ``allin1_executors``) have the same interface, and may yield outcomes in any
order (:mod:`~allin1_core.runtime.checked_outcomes`).
"""

from __future__ import annotations

import math
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from allin1_core.contracts.options import OptionValue
from allin1_core.errors import Allin1Error, BackendError, SettingsError
from allin1_core.runtime.analysis import ResultOptions
from allin1_core.runtime.batch import Outcome, run_batch
from allin1_core.runtime.caller_progress import CallerProgress
from allin1_core.runtime.reading_ahead import usable_cpus
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import Track
from allin1_core.runtime.worker_process import SessionRecipe, WorkerEnded, WorkerProcess

if TYPE_CHECKING:
    from typing_extensions import Unpack


#: Called with the index of a track, the running stage, and the fraction of the track that is done.
BatchProgress = Callable[[int, str, float], None]

#: Outcomes per worker that may wait for a slow track before workers pause; they take memory.
_MOST_WAITING = 16


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
    locks and devices of its own. If a worker dies, only its current track fails, and the worker is replaced.

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
        """Analyse `tracks`, each by the next free worker."""
        count = min(self._workers, len(tracks))
        if not count:
            return
        given: dict[str, Any] = {"out_dir": out_dir, "overwrite": overwrite, **options}
        # The cost of a set-up is spread over all songs of a worker.
        given["songs"] = math.ceil(len(tracks) / count)
        run = _Run(tracks, given, progress)
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


class _Run:
    """A running batch; each worker is managed by a thread."""

    def __init__(
        self, tracks: Sequence[Track], options: dict[str, Any], progress: BatchProgress | None
    ) -> None:
        self._tracks = tracks
        self._options = options
        self._progress = CallerProgress(progress)
        self._done: queue.Queue[tuple[int, Outcome] | BaseException] = queue.Queue()
        self._lock = threading.Condition()
        self._next = 0
        self._given = 0
        self._stopped = False
        self._processes: list[WorkerProcess] = []
        self._threads: list[threading.Thread] = []

    def start(self, recipe: SessionRecipe) -> None:
        number = len(self._threads)
        thread = threading.Thread(
            target=self._manage_worker, args=(recipe,), name=f"allin1-worker-{number}", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def outcomes(self) -> Iterator[Outcome]:
        waiting: dict[int, Outcome] = {}
        while self._given < len(self._tracks):
            try:
                # With a timeout, because otherwise Windows would not handle Ctrl-C.
                found = self._done.get(timeout=0.5)
            except queue.Empty:
                continue
            if isinstance(found, BaseException):
                raise found
            waiting[found[0]] = found[1]
            while (outcome := waiting.pop(self._given, None)) is not None:
                yield outcome
                with self._lock:
                    self._given += 1
                    self._lock.notify_all()

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            self._lock.notify_all()
            processes = list(self._processes)
        WorkerProcess.stop_all(processes)
        for thread in self._threads:
            thread.join()

    def _next_index(self) -> int | None:
        """Index of the next track, once there is room for its outcome; None if none is left."""
        room = _MOST_WAITING * len(self._threads)
        with self._lock:
            self._lock.wait_for(
                lambda: (
                    self._stopped
                    or self._next >= len(self._tracks)
                    or self._next < self._given + room
                )
            )
            if self._stopped or self._next >= len(self._tracks):
                return None
            self._next += 1
            return self._next - 1

    def _manage_worker(self, recipe: SessionRecipe) -> None:
        try:
            worker: WorkerProcess | None = None
            while (index := self._next_index()) is not None:
                if worker is None:
                    worker = self._opened(recipe)
                if worker is None:  # stopped in the meantime
                    return
                try:
                    outcome = worker.analyse(
                        self._tracks[index], self._options, self._progress_of(index)
                    )
                except WorkerEnded as ended:
                    with self._lock:
                        if self._stopped:
                            return
                        self._processes.remove(worker)
                    worker = None
                    outcome = _lost(self._tracks[index], ended)
                self._done.put((index, outcome))
        except BaseException as error:
            self._done.put(error)

    def _opened(self, recipe: SessionRecipe) -> WorkerProcess | None:
        with self._lock:
            if self._stopped:
                return None
            worker = WorkerProcess()
            self._processes.append(worker)
        try:
            worker.open(recipe)
        except WorkerEnded as ended:
            with self._lock:
                if self._stopped:
                    return None
            raise BackendError(
                f"A worker process {ended} before it was ready.",
                remedy="Run without -j to see the cause.",
            ) from ended
        return worker

    def _progress_of(self, index: int) -> Callable[[str, float], None]:
        def tell(stage: str, fraction: float) -> None:
            if not self._stopped:
                self._progress(index, stage, fraction)

        return tell


def _lost(track: Track, ended: WorkerEnded) -> Outcome:
    remedy = "The other songs are not affected."
    if ended.signal == getattr(signal, "SIGKILL", None):
        remedy = "If memory was short, use fewer workers (-j)."
    stage = f" in stage {ended.stage}" if ended.stage else ""
    error: Allin1Error = BackendError(
        f"The worker process that analysed it {ended}{stage}.", remedy=remedy, path=track.path
    )
    return Outcome(track, error=error, status="failed", seconds=ended.seconds)
