"""A batch that runs in worker processes: which worker gets which track, and what happens when one dies.

A worker is given a track, and another one whenever it requests it: when it has finished the one before, or, if it computes
on an accelerator, when it has time to read one ahead. A request that cannot be answered at once is answered after the next
message of the worker, which never waits for the answer while it has a track to finish. If a worker dies that had a single
track, the track has failed. If it had several, each of them is given alone to a new worker, because any of them may have
been the cause.
"""

from __future__ import annotations

import math
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from allin1_core.errors import Allin1Error, BackendError
from allin1_core.runtime.batch import Outcome
from allin1_core.runtime.caller_progress import CallerProgress
from allin1_core.runtime.track import Track
from allin1_core.runtime.worker_process import (
    Progress,
    Requested,
    SessionRecipe,
    WorkerEnded,
    WorkerProcess,
)

#: Outcomes per worker that may wait for a slow track before workers pause; they take memory.
_MOST_WAITING = 16


class RunInWorkers:
    """A running batch; each worker is managed by a thread.

    Parameters
    ----------
    tracks
        The tracks of the batch.
    options
        Arguments of :func:`~allin1_core.runtime.batch.run_batch` in the workers.
    progress
        Called with the index of a track, the running stage, and the fraction of the track that is done.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        options: dict[str, Any],
        progress: Callable[[int, str, float], None] | None,
    ) -> None:
        self._tracks = tracks
        self._options = options
        self._progress = CallerProgress(progress)
        self._outcomes: queue.Queue[tuple[int, Outcome] | BaseException] = queue.Queue()
        self._lock = threading.Condition()
        # Numbers of tracks that were given to workers, are finished, and whose outcomes were yielded.
        self._given, self._finished, self._yielded = 0, 0, 0
        self._stopped = False
        self._processes: list[WorkerProcess] = []
        self._threads: list[threading.Thread] = []

    def start(self, recipe: SessionRecipe) -> None:
        """Add a worker."""
        number = len(self._threads)
        thread = threading.Thread(
            target=self._manage_worker, args=(recipe,), name=f"allin1-worker-{number}", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcomes in the order of the tracks.

        Raises
        ------
        Allin1Error
            An error that ends the batch.
        """
        waiting: dict[int, Outcome] = {}
        while self._yielded < len(self._tracks):
            try:
                # With a timeout, because otherwise Windows would not handle Ctrl-C.
                found = self._outcomes.get(timeout=0.5)
            except queue.Empty:
                continue
            if isinstance(found, BaseException):
                raise found
            waiting[found[0]] = found[1]
            while (outcome := waiting.pop(self._yielded, None)) is not None:
                yield outcome
                with self._lock:
                    self._yielded += 1
                    self._lock.notify_all()

    def stop(self) -> None:
        """End the workers, whatever they are doing."""
        with self._lock:
            self._stopped = True
            self._lock.notify_all()
            processes = list(self._processes)
        WorkerProcess.stop_all(processes)
        for thread in self._threads:
            thread.join()

    def _next_index(self, in_flight: int = 0) -> int | None:
        """Index of the next track for a worker that has `in_flight` tracks; None if it gets none.

        If it has none, wait until there is room for one more outcome. Otherwise, it gets no more than its share of the
        tracks that are left, so that all workers end at the same time.
        """
        with self._lock:
            if not in_flight:
                self._lock.wait_for(lambda: self._stopped or self._is_over or self._has_room)
            elif not self._has_room or in_flight >= self._share:
                return None
            if self._stopped or self._is_over:
                return None
            self._given += 1
            return self._given - 1

    @property
    def _is_over(self) -> bool:
        return self._given >= len(self._tracks)

    @property
    def _has_room(self) -> bool:
        return self._finished - self._yielded < _MOST_WAITING * len(self._threads)

    @property
    def _share(self) -> int:
        return math.ceil((len(self._tracks) - self._finished) / len(self._threads))

    def _manage_worker(self, recipe: SessionRecipe) -> None:
        try:
            worker: _Worker | None = None
            # Tracks of a worker that died, any of which may have been the cause.
            suspects: deque[int] = deque()
            while True:
                is_suspect = bool(suspects)
                index = suspects.popleft() if is_suspect else self._next_index()
                if index is None:
                    break
                worker = worker or self._opened(recipe)
                if worker is None:  # stopped in the meantime
                    return
                try:
                    self._analyse(worker, index, is_alone=is_suspect)
                except WorkerEnded as ended:
                    with self._lock:
                        if self._stopped:
                            return
                        self._processes.remove(worker.process)
                    lost = worker.in_flight
                    if len(lost) > 1:
                        suspects.extend(given.index for given in lost)
                    else:
                        self._finish(lost[0].index, _lost(lost[0], worker.seconds, ended))
                    worker = None
            if worker is not None:
                worker.process.close()
        except BaseException as error:
            self._outcomes.put(error)

    def _opened(self, recipe: SessionRecipe) -> _Worker | None:
        process = WorkerProcess()
        with self._lock:
            if self._stopped:
                return None
            self._processes.append(process)
        try:
            process.open(recipe, self._options, len(self._tracks))
        except WorkerEnded as ended:
            with self._lock:
                if self._stopped:
                    return None
            raise BackendError(
                f"A worker process {ended} before it was ready.",
                remedy="Run without -j to see the cause.",
            ) from ended
        return _Worker(process)

    def _analyse(self, worker: _Worker, index: int, *, is_alone: bool) -> None:
        """Give a track to an idle worker and, unless `is_alone`, those that it requests, until it is idle again."""
        worker.give(index, self._tracks[index])
        while worker.in_flight:
            while worker.requests > 0 and not is_alone:
                following = self._next_index(len(worker.in_flight))
                if following is None:
                    break
                worker.give(following, self._tracks[following])
            message = worker.process.receive()
            if isinstance(message, Requested):
                worker.requests += 1
            elif isinstance(message, Progress):
                given = worker.given(message)
                if not self._stopped:
                    self._progress(given.index, message.stage, message.fraction)
            else:
                self._finish(worker.finished(), message)

    def _finish(self, index: int, outcome: Outcome) -> None:
        with self._lock:
            self._finished += 1
        self._outcomes.put((index, outcome))


@dataclass
class _Given:
    """A track that a worker has been given, and the stage that runs; empty if none has begun."""

    track: Track
    index: int
    stage: str = ""


class _Worker:
    """A worker, its tracks in the order in which it was given them, and the number of its requests that are open."""

    def __init__(self, process: WorkerProcess) -> None:
        self.process = process
        self.in_flight: deque[_Given] = deque()
        self.requests = 1  # the first track needs none
        self._finished = 0
        self._since = 0.0

    def give(self, index: int, track: Track) -> None:
        """Give it a track, even without a request if it is idle."""
        if not self.in_flight:
            self._since = time.perf_counter()
        self.in_flight.append(_Given(track, index))
        self.requests -= 1
        self.process.give(track)

    def given(self, progress: Progress) -> _Given:
        """The track whose progress it reports."""
        given = self.in_flight[progress.number - self._finished]
        given.stage = progress.stage
        return given

    def finished(self) -> int:
        """Index of the track whose outcome it has reported."""
        self._since = time.perf_counter()
        self._finished += 1
        return self.in_flight.popleft().index

    @property
    def seconds(self) -> float:
        """Time for which it has worked on its first unfinished track."""
        return time.perf_counter() - self._since


def _lost(given: _Given, seconds: float, ended: WorkerEnded) -> Outcome:
    """Outcome of a track whose worker has died of it."""
    remedy = "The other songs are not affected."
    if ended.signal == getattr(signal, "SIGKILL", None):
        remedy = "If memory was short, use fewer workers (-j)."
    stage = f" in stage {given.stage}" if given.stage else ""
    error: Allin1Error = BackendError(
        f"The worker process that analysed it {ended}{stage}.",
        remedy=remedy,
        path=given.track.path,
    )
    return Outcome(given.track, error=error, status="failed", seconds=round(seconds, 3))
