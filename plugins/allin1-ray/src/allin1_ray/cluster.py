"""The cluster that a batch runs on, and the songs on their way through it."""

from __future__ import annotations

import logging
import math
import os
import pickle
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# It sends statistics of use, unless told otherwise before it is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from allin1_core.errors import Allin1Error, BackendError, SettingsError, brief
from allin1_core.runtime.batch import Outcome
from allin1_core.runtime.worker_process import RemoteTraceback
from allin1_core.urls import is_url
from ray.exceptions import RayError

from allin1_ray.pool import Pool
from allin1_ray.work import Song, Work, settings_environment
from allin1_ray.worker import SongAnalyser, given_up

#: Songs of a task, where nothing better is known, and at most; and how many seconds of work a task should have.
_USUAL_BATCH, _MOST_BATCH, _TASK_S = 4, 32, 10.0

#: Tasks a second that the driver should have to hand out at most: each takes it up to three milliseconds.
_MOST_TASKS_PER_S = 50.0

#: Variables that bound the threads of libraries.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@dataclass(frozen=True)
class Resources:
    """What a batch may use.

    Attributes
    ----------
    address
        Of the cluster; None for the one that runs, or else a new one of this machine.
    workers
        How many at most; None for as many as there is room for.
    cpus, gpus
        Of each worker.
    batch
        Songs of a task; None for about ten seconds of work.
    song_s
        What a song is expected to take, in seconds; None where that is not known.
    is_own
        The cluster was started for this batch (:func:`connected`).
    """

    address: str | None = None
    workers: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    batch: int | None = None
    song_s: float | None = None
    is_own: bool = False

    def batch_of(self, songs: int, workers: int) -> int:
        """Songs of a task: enough to make it worth its while, and few enough that all workers end together.

        >>> Resources(song_s=0.5).batch_of(10_000, 8), Resources(song_s=0.5).batch_of(20, 8)
        (20, 1)
        """
        if self.batch is not None:
            return max(1, self.batch)
        task_s = max(_TASK_S, workers / _MOST_TASKS_PER_S)
        wanted = _USUAL_BATCH if self.song_s is None else round(task_s / max(self.song_s, 1e-3))
        return max(1, min(wanted, _MOST_BATCH, math.ceil(songs / (4 * workers))))


@contextmanager
def connected(address: str | None, variables: Mapping[str, str]) -> Iterator[bool]:
    """A connection to the cluster; the one of the caller, if there is one.

    Yields whether the cluster was started for this batch; the environment of its workers then has `variables`.

    Raises
    ------
    SettingsError
        The cluster does not answer.
    """
    if ray.is_initialized():
        yield False
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    named = address or os.environ.get("RAY_ADDRESS")
    is_own = named == "local"
    before = signal.getsignal(signal.SIGTERM)
    if not is_own:
        try:
            ray.init(address=named or "auto", **quiet)
        except ConnectionError as error:
            if named:
                raise SettingsError(
                    f"The Ray cluster {named} does not answer: {brief(error)}",
                    remedy="See 'ray status', or leave the address out.",
                ) from error
            is_own = True
    if is_own:
        with _environment(variables):
            ray.init(address="local", include_dashboard=False, **quiet)
    if callable(before) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)  # Ray has replaced it by one that raises SystemExit
    try:
        yield is_own
    finally:
        ray.shutdown()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables for processes that are started within."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def worker_environment(work: Work, resources: Resources) -> dict[str, str]:
    """Variables of each worker, which have to be set before it imports anything."""
    threads = str(_threads(work, resources))
    variables = {**dict.fromkeys(_THREAD_VARIABLES, threads), **settings_environment()}
    if not work.config:
        variables["ALLIN1_CONFIG"] = ""
    return variables


def _threads(work: Work, resources: Resources) -> int:
    # A worker with no number would take all processors of its machine, as each of its neighbours.
    return work.recipe.options.get("threads") or max(1, int(resources.cpus))


def run_songs(
    songs: Sequence[Song], work: Work, resources: Resources
) -> Iterator[tuple[int, Outcome]]:
    """Analyse `songs` on the cluster, and give number and outcome of each as it comes.

    Closing the iterator ends what still runs.

    Raises
    ------
    Allin1Error
        What concerns all songs: settings, weights, plugins, the cluster.
    """
    variables = worker_environment(work, resources)
    with connected(resources.address, variables) as is_started:
        is_own = is_started or resources.is_own
        workers = room(resources, ray.cluster_resources(), may_grow=not is_own)
        if resources.workers is not None:
            workers = min(workers, resources.workers)
        threads = _threads(work, resources)
        recipe = replace(work.recipe, options={**work.recipe.options, "threads": threads})
        # The cost of a set-up is spread over all songs of a worker.
        options = {**work.options, "songs": math.ceil(len(songs) / workers)}
        work = replace(work, recipe=recipe, options=options)
        actor = ray.remote(SongAnalyser).options(
            num_cpus=resources.cpus,
            num_gpus=resources.gpus,
            # Ray starts some workers with no environment of their own in advance.
            runtime_env=None if is_own else {"env_vars": variables},
        )
        given = ray.put(work)
        most = workers if is_own else resources.workers or math.inf
        pool = Pool(
            len(songs),
            lambda: actor.remote(given),
            lambda worker, taken: worker.analyse.remote([(i, songs[i]) for i in taken]),
            resources.batch_of,
            workers,
            most,
        )
        tasks = pool.outcomes()
        try:
            for content, lost in tasks:
                for index in lost:
                    yield index, given_up(songs[index])
                for outcome in pickle.loads(content) if content else ():
                    yield _checked(*outcome)
        except Allin1Error:
            raise
        except RayError as error:
            raise BackendError(
                f"The cluster failed: {brief(error)}",
                remedy="Run the same again: what is finished is skipped.",
            ) from error
        finally:
            tasks.close()  # type: ignore[attr-defined]


def _checked(index: int, given: Any, text: str) -> tuple[int, Outcome]:
    """The outcome that a worker gave; raises what ends the batch."""
    error = given.error if isinstance(given, Outcome) else given
    if error is not None and text:
        error.__cause__ = RemoteTraceback(text)
    if isinstance(given, Allin1Error):
        raise given
    written = given.written
    if written is not None and not written.exists():
        raise SettingsError(
            "Another machine has written this result, and it is not here.",
            remedy="Name an output folder that all machines share, or the URL of one (s3://…).",
            path=written,
        )
    return index, given


def room(resources: Resources, there: Mapping[str, float], may_grow: bool) -> int:
    """How many workers a cluster with these resources has room for; at least 1 if it may grow.

    Raises
    ------
    SettingsError
        There is no room for a worker, and never will be.
    """
    rooms = {}
    for name, needed in (("CPU", resources.cpus), ("GPU", resources.gpus)):
        if needed:
            rooms[name] = there.get(name, 0.0) / needed
            if rooms[name] < 1 and not may_grow:
                raise SettingsError(
                    f"A worker needs {needed:g} {name}s, and this machine has {there.get(name, 0.0):g}.",
                    remedy=f"Set -O ray.{name.lower()}s, or start a cluster.",
                )
    return max(1, int(min(rooms.values(), default=1)))


def absolute(out: str | os.PathLike[str] | None) -> str | None:
    """An output folder as every process understands it."""
    if out is None or is_url(os.fspath(out)):
        return None if out is None else os.fspath(out)
    return str(Path(out).expanduser().absolute())
