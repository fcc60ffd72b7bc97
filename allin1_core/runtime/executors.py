"""Who runs a batch: this process, or workers of their own.

An executor takes the tracks of a batch and gives their outcomes. The two here run on this machine, and keep the order of the
tracks; those of plugins (hook ``allin1_executors``) have the same form, and may give outcomes in any order
(:mod:`~allin1_core.runtime.checked_outcomes`).
"""

from __future__ import annotations

import math
import os
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
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import Track
from allin1_core.runtime.worker_process import SessionRecipe, WorkerEnded, WorkerProcess

if TYPE_CHECKING:
    from typing_extensions import Unpack


#: Told a track's index, the running stage, and the fraction of the track that is done.
BatchProgress = Callable[[int, str, float], None]

#: Outcomes for each worker that may wait behind a slow track before the workers wait too: they take memory.
_MOST_WAITING = 16


class BatchRunner(Protocol):
    """Runs a batch of tracks: what an executor's target gives."""

    def run(
        self,
        tracks: Sequence[Track],
        *,
        out_dir: Path | None = None,
        overwrite: bool = False,
        progress: BatchProgress | None = None,
        **options: Unpack[ResultOptions],
    ) -> Iterator[Outcome]:
        """Analyse `tracks` and give an outcome for each.

        An executor of a plugin may give them in any order, each as soon as it has it: whoever uses it gets them in the order
        of `tracks`. Parameters and errors are those of :func:`~allin1_core.runtime.batch.run_batch`. Closing the iterator ends what
        still runs.
        """
        ...


@dataclass(frozen=True)
class ExecutorSetup:
    """What an executor is made with.

    Attributes
    ----------
    session
        The session of this process. It sets up what it needs when it first runs, so it costs little to leave it alone.
    recipe
        How other processes make a session like it. Everything in it can be pickled.
    jobs
        Processes that the user asked for; None where it was left open.
    devices
        Devices that the user listed; empty where none was named.
    options
        Values of the options that the executor declares.
    """

    session: Session
    recipe: SessionRecipe
    jobs: int | None = None
    devices: tuple[str, ...] = ()
    options: Mapping[str, OptionValue] = field(default_factory=dict)


class ExecutorTarget(Protocol):
    """Makes an executor ready to run."""

    def __call__(self, setup: ExecutorSetup, /) -> BatchRunner:
        """Give what runs the batch, for which :meth:`BatchRunner.run` is called once.

        Raise :class:`~allin1_core.errors.SettingsError` where it cannot do what is asked for.
        """
        ...


def create_local(setup: ExecutorSetup) -> BatchRunner:
    """The executor ``local``: this process for one job, else a process for each job, of which there is one a device."""
    jobs = setup.jobs or max(1, len(setup.devices))
    if jobs == 1:
        return InProcess(setup.session)
    return InWorkers(setup.recipe, jobs, setup.devices)


class InProcess:
    """Runs a batch in this process.

    Parameters
    ----------
    session
        Does the work; it stays open.
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
        """Analyse `tracks` one after the other, and read ahead."""
        return run_batch(
            self._session,
            tracks,
            out_dir=out_dir,
            overwrite=overwrite,
            progress=progress,
            **options,
        )


class InWorkers:
    """Runs a batch in processes of this machine, each with a session, and a share of the threads.

    They are started anew, as programs: the caller needs no ``if __name__ == "__main__"``, and may have threads, locks and
    devices of its own. A worker that dies costs the track that it had, and is replaced.

    Parameters
    ----------
    recipe
        How each makes its session.
    workers
        How many processes; more than tracks are not started.
    devices
        Devices to deal out to them, in turn; empty to leave each the device of the recipe.

    Raises
    ------
    SettingsError
        What the recipe asks for cannot be done by several processes at once.
    """

    def __init__(self, recipe: SessionRecipe, workers: int, devices: Sequence[str] = ()) -> None:
        refuse_single_process_options(recipe)
        if workers < 1:
            raise SettingsError(f"There are {workers} workers; wanted 1 or more.")
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
        """Analyse `tracks`, each by the next worker that is free."""
        count = min(self._workers, len(tracks))
        if not count:
            return
        given: dict[str, Any] = {"out_dir": out_dir, "overwrite": overwrite, **options}
        # A set-up is worth it for all songs of a worker.
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
        threads = options.get("threads") or _cpus()
        options["threads"] = max(1, threads // count)
        if self._devices:
            options["device"] = self._devices[number % len(self._devices)]
        recipe = self._recipe
        return SessionRecipe(recipe.model, options, recipe.block, recipe.strict)


#: What several processes at once cannot do, and what to do instead.
_NOT_IN_WORKERS = {
    "calibrate": "Measure this machine before: allin1 bench.",
    "timings_viz_path": "Draw the timings of one process, without -j.",
}


def refuse_single_process_options(recipe: SessionRecipe) -> None:
    """Raise where sessions of several processes cannot do together what `recipe` asks for.

    Raises
    ------
    SettingsError
        Which option it is, and what to do instead.
    """
    for name, remedy in _NOT_IN_WORKERS.items():
        if recipe.options.get(name):
            raise SettingsError(f"{name} cannot be combined with workers.", remedy=remedy)


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Run:
    """A batch on its way; a thread looks after each worker."""

    def __init__(
        self, tracks: Sequence[Track], options: dict[str, Any], progress: BatchProgress | None
    ) -> None:
        self._tracks = tracks
        self._options = options
        self._progress = progress
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
            target=self._look_after, args=(recipe,), name=f"allin1-worker-{number}", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def outcomes(self) -> Iterator[Outcome]:
        waiting: dict[int, Outcome] = {}
        while self._given < len(self._tracks):
            try:
                # With a limit: without one, Windows would not see Ctrl-C.
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

    def _take(self) -> int | None:
        """Index of the next track, once there is room for its outcome; None if there is none."""
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

    def _look_after(self, recipe: SessionRecipe) -> None:
        try:
            worker: WorkerProcess | None = None
            while (index := self._take()) is not None:
                if worker is None:
                    worker = self._opened(recipe)
                if worker is None:  # stopped meanwhile
                    return
                try:
                    outcome = worker.analyse(self._tracks[index], self._options, self._tell(index))
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
                f"A worker process {ended} before it could begin.",
                remedy="Run without -j, which tells more.",
            ) from ended
        return worker

    def _tell(self, index: int) -> Callable[[str, float], None]:
        def tell(stage: str, fraction: float) -> None:
            if self._progress is not None and not self._stopped:
                with self._lock:
                    self._progress(index, stage, fraction)

        return tell


def _lost(track: Track, ended: WorkerEnded) -> Outcome:
    remedy = "The other songs are not affected."
    if ended.signal == getattr(signal, "SIGKILL", None):
        remedy = "Where memory was short: analyse it with fewer workers (-j)."
    error: Allin1Error = BackendError(
        f"The worker process that analysed it {ended}.", remedy=remedy, path=track.path
    )
    return Outcome(track, error=error, status="failed", seconds=ended.seconds)
