"""Workers of a batch. Ray decides where each runs; the pool decides which songs it gets, and replaces it if it dies.

Each worker is an actor. It has two tasks, so that it does not wait for the driver between them, and gets the next when the
driver takes the outcomes of one: what is in memory does not grow with the batch.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import ray
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    WorkerCrashedError,
)

from allin1_ray.backlog import Backlog

#: Workers that may be lost one after the other before they are ready, as on a machine that is reclaimed.
_MOST_LOST = 100

#: Tasks of a worker: the one that runs, and the next.
_TASKS = 2

#: What a reference raises if its worker has died.
_DIED = (RayActorError, WorkerCrashedError, NodeDiedError, OutOfMemoryError)


class _Worker:
    """An actor, and its tasks in the order in which it runs them."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.is_ready = False
        self.starts = actor.__ray_ready__.remote()
        #: The reference and the songs of each task.
        self.tasks: deque[tuple[Any, list[int]]] = deque()

    @property
    def awaited(self) -> Any:
        """What it does next: become ready, or finish its first task; None if it has nothing to do."""
        if not self.is_ready:
            return self.starts
        return self.tasks[0][0] if self.tasks else None


class Pool:
    """Hands out songs to workers.

    Parameters
    ----------
    songs
        Number of songs.
    start
        Creates an actor.
    submit
        Starts the analysis of songs, given by their numbers, by an actor, and returns the reference to their outcomes.
    size
        Songs of a task, for a number of remaining songs and of workers.
    workers
        How many to start with.
    most
        How many at most. Beyond `workers`, as many more are requested as are ready, which tells Ray's autoscaler to add
        machines.
    """

    def __init__(
        self,
        songs: int,
        start: Callable[[], Any],
        submit: Callable[[Any, list[int]], Any],
        size: Callable[[int, int], int],
        workers: int,
        most: float,
    ) -> None:
        self._backlog = Backlog(songs)
        self._start = start
        self._submit = submit
        self._size = size
        self._first = workers
        self._most = most
        self._workers: list[_Worker] = []
        self._ready = 0
        self._lost = 0

    def outcomes(self) -> Iterator[tuple[Any, list[int]]]:
        """Yield what each task returned, and an empty list; or None, and the songs that are given up.

        Closing the iterator terminates the workers.

        Raises
        ------
        ray.exceptions.RayError
            A task failed for a reason other than the death of its worker, or workers die before they are ready.
        """
        try:
            while True:
                self._add_workers()
                self._hand_out()
                awaited = {w.awaited: w for w in self._workers if w.awaited is not None}
                if not awaited:
                    return
                references = list(awaited)
                ray.wait(references, num_returns=1)
                ready, _ = ray.wait(references, num_returns=len(references), timeout=0)
                for reference in ready:
                    worker = awaited[reference]
                    if worker not in self._workers:  # released since
                        continue
                    found = self._finished(worker)
                    # The caller may take its time.
                    self._hand_out()
                    if found is not None:
                        yield found
        finally:
            for worker in self._workers:
                ray.kill(worker.actor)

    def _add_workers(self) -> None:
        starting = len(self._workers) - self._ready
        most = min(self._most, max(self._first, self._ready + max(self._ready, 1)))
        wanted = most - len(self._workers)
        for _ in range(int(min(wanted, self._tasks_left - starting))):
            self._workers.append(_Worker(self._start()))

    def _hand_out(self) -> None:
        """Give each worker that is ready its tasks, one after the other, and release those that get none."""
        starting = len(self._workers) - self._ready
        for number in range(_TASKS):
            for worker in self._workers:
                if not worker.is_ready or len(worker.tasks) != number:
                    continue
                # A second task must not take the first of a worker that starts.
                if self._tasks_left > number * starting:
                    songs = self._backlog.take(self._task_size)
                    worker.tasks.append((self._submit(worker.actor, songs), songs))
        if not self._backlog:
            # Another may wait for its room.
            for worker in [worker for worker in self._workers if not worker.tasks]:
                self._drop(worker)

    @property
    def _task_size(self) -> int:
        return self._size(len(self._backlog), max(self._first, self._ready))

    @property
    def _tasks_left(self) -> int:
        return math.ceil(len(self._backlog) / self._task_size)

    def _finished(self, worker: _Worker) -> tuple[Any, list[int]] | None:
        if not worker.is_ready:
            self._has_started(worker)
            return None
        reference, songs = worker.tasks.popleft()
        try:
            found = ray.get(reference)
        except _DIED:
            self._drop(worker)
            for _, others in reversed(worker.tasks):
                self._backlog.put_back(others)
            given_up = self._backlog.blame(songs)
            return (None, given_up) if given_up else None
        except ObjectLostError:  # its machine was lost after the worker had finished
            self._backlog.put_back(songs)
            return None
        return found, []

    def _has_started(self, worker: _Worker) -> None:
        try:
            ray.get(worker.starts)
        except _DIED as error:
            self._lost += 1
            if self._lost > _MOST_LOST or getattr(error, "actor_init_failed", False):
                raise
            self._drop(worker)
        else:
            self._lost = 0
            worker.is_ready = True
            self._ready += 1

    def _drop(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        self._ready -= worker.is_ready
        ray.kill(worker.actor)
