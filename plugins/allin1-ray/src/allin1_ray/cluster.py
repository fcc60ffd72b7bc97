"""The cluster that a batch runs on, and the songs on their way through it."""

from __future__ import annotations

import logging
import math
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# It sends statistics of use, unless told otherwise before it is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
import ray.data
from allin1_core.errors import Allin1Error, BackendError, SettingsError, brief
from allin1_core.runtime.batch import Outcome
from allin1_core.runtime.worker_process import RemoteTraceback
from allin1_core.urls import is_url
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from allin1_ray.attempts import Attempts
from allin1_ray.work import Song, Work, settings_environment
from allin1_ray.worker import SongAnalyser

#: Songs of a task, where nothing better is known, and at most; and how many seconds of work a task should have.
_USUAL_BATCH, _MOST_BATCH, _TASK_S = 4, 32, 10.0

#: Tasks a second that the driver should have to hand out at most: each takes it five milliseconds.
_MOST_TASKS_PER_S = 50.0

#: Workers that may be lost one after the other before they are ready, as on a machine that is taken back.
_MOST_LOST = 100

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
    """

    address: str | None = None
    workers: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    batch: int | None = None
    song_s: float | None = None

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
def connected(address: str | None) -> Iterator[None]:
    """A connection to the cluster; the one of the caller, if there is one.

    Raises
    ------
    SettingsError
        The cluster does not answer.
    """
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    named = address or os.environ.get("RAY_ADDRESS")
    try:
        ray.init(address=named or "auto", **quiet)
    except ConnectionError as error:
        if named:
            raise SettingsError(
                f"The Ray cluster {named} does not answer: {brief(error)}",
                remedy="See 'ray status', or leave the address out.",
            ) from error
        ray.init(address="local", include_dashboard=False, **quiet)
    try:
        yield
    finally:
        ray.shutdown()


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
    with connected(resources.address):
        workers = _room(resources)
        if resources.workers is not None:
            workers = min(workers, resources.workers)
        here = ray.get_runtime_context().get_node_id()
        attempts = (
            ray.remote(Attempts)
            .options(
                num_cpus=0,
                max_restarts=-1,
                max_task_retries=-1,
                scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=True),
            )
            .remote()
        )
        # A worker with no number would take all processors of its machine, as each of its neighbours.
        threads = work.recipe.options.get("threads") or max(1, int(resources.cpus))
        recipe = replace(work.recipe, options={**work.recipe.options, "threads": threads})
        variables = {**dict.fromkeys(_THREAD_VARIABLES, str(threads)), **settings_environment()}
        if not work.config:
            variables["ALLIN1_CONFIG"] = ""
        size = resources.batch_of(len(songs), workers)
        # A set-up is worth it for all songs of a worker.
        options = {**work.options, "songs": math.ceil(len(songs) / workers)}
        work = replace(work, recipe=recipe, options=options)
        with _own_context():
            rows = [{"index": i, "song": pickle.dumps(song)} for i, song in enumerate(songs)]
            tasks = math.ceil(len(songs) / size)
            outcomes = ray.data.from_items(rows, override_num_blocks=tasks).map_batches(
                SongAnalyser,
                fn_constructor_args=(work, attempts),
                batch_size=None,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(
                    min_size=1, max_size=resources.workers, initial_size=workers
                ),
                num_cpus=resources.cpus,
                num_gpus=resources.gpus,
                runtime_env={"env_vars": variables},
            )
        blocks = iter(
            outcomes.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        )
        try:
            for table in blocks:
                for content in table["outcome"].to_pylist():
                    yield _checked(*pickle.loads(content))
        except Allin1Error:
            raise
        except Exception as error:  # of Ray, or of Ray Data, which have no class in common
            raise BackendError(
                f"The cluster failed: {brief(error)}",
                remedy="Run the same again: what is finished is skipped.",
            ) from error
        finally:
            # Dropping it ends the workers of a cluster that goes on.
            del blocks
            ray.kill(attempts)


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


def _room(resources: Resources) -> int:
    """How many workers the cluster has room for now, 1 or more: it may grow."""
    there: Mapping[str, float] = ray.cluster_resources()
    rooms = [there.get("CPU", 0.0) / resources.cpus] if resources.cpus else []
    if resources.gpus:
        rooms.append(there.get("GPU", 0.0) / resources.gpus)
    return max(1, int(min(rooms, default=1)))


@contextmanager
def _own_context() -> Iterator[None]:
    """Settings of Ray Data for a data set that is made within."""
    context = ray.data.DataContext.get_current()
    settings = {"enable_progress_bars": False, "max_consecutive_actor_init_deaths": _MOST_LOST}
    # Older versions lack some.
    before = {name: getattr(context, name) for name in settings if hasattr(context, name)}
    for name in before:
        setattr(context, name, settings[name])
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(context, name, value)


def absolute(out: str | os.PathLike[str] | None) -> str | None:
    """An output folder as every process understands it."""
    if out is None or is_url(os.fspath(out)):
        return None if out is None else os.fspath(out)
    return str(Path(out).expanduser().absolute())
