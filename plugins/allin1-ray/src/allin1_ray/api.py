"""Analysing data sets from Python."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from allin1_core.plugins.loading import load_plugins
from allin1_core.runtime.executors import refuse_single_process_options
from allin1_core.runtime.session import Session
from allin1_core.runtime.worker_process import SessionRecipe

from allin1_ray.cluster import absolute, connected, run_songs, worker_environment
from allin1_ray.executor import resources_of, with_price
from allin1_ray.progress import Progress
from allin1_ray.songs import songs_of
from allin1_ray.storage import join
from allin1_ray.table import DEAD_LETTERS, TABLE, ResultTable
from allin1_ray.work import Work, config_text

if TYPE_CHECKING:
    from allin1_core.runtime.assembly import SessionOptions
    from typing_extensions import Unpack

__all__ = ["Progress", "Summary", "analyze"]


@dataclass(frozen=True)
class Summary:
    """What became of a data set.

    Attributes
    ----------
    done, skipped, kept, failed
        Songs that were analysed; whose results were up to date; whose results say not what they are of, and were left
        alone; and that failed.
    seconds
        What it took.
    table, dead_letters
        Path or URL of the Parquet data set, and of the file with the songs that failed and why.
    """

    done: int
    skipped: int
    kept: int
    failed: int
    seconds: float
    table: str
    dead_letters: str


def analyze(
    songs: Any,
    out_dir: str | os.PathLike[str],
    model: str | None = None,
    *,
    only: str | None = None,
    overwrite: bool = False,
    include_activations: bool = False,
    include_embeddings: bool = False,
    include: Sequence[str] = (),
    address: str | None = None,
    workers: int | None = None,
    cpus: float | None = None,
    gpus: float | None = None,
    batch: int | None = None,
    storage_options: Mapping[str, Any] | None = None,
    progress: Callable[[Progress], None] | None = None,
    block: Sequence[str] = (),
    **options: Unpack[SessionOptions],
) -> Summary:
    """Analyse songs on a Ray cluster.

    Parameters
    ----------
    songs
        A song, folder, pattern or manifest (``.parquet``, ``.csv``, ``.jsonl`` with a column ``song``, ``path`` or
        ``url``, and perhaps ``name``), as a path or URL (``s3://…``, ``gs://…``, ``https://…``); a sequence of these; or a
        ``ray.data.Dataset`` with those columns.
    out_dir
        Folder that all machines share, or URL, for ``<name>.json``, the Parquet data set ``songs.parquet`` and
        ``dead-letters.jsonl``. Results there that are up to date are kept.
    model, only, overwrite, include_activations, include_embeddings
        As for :func:`allin1_core.analyze`.
    include
        Patterns of the names of files to take from local folders, instead of all audio.
    address
        Of the cluster; None for ``RAY_ADDRESS``, the one that runs on this machine, or a new one of this machine.
    workers
        How many at most; None for as many as there is room for.
    cpus, gpus
        Of each worker. A CPU unless `threads` says more; a GPU with ``device="cuda"``, which may be a share, such as 0.5.
    batch
        Songs of a task; None for about ten seconds of work.
    storage_options
        For the stores of songs and results, as fsspec takes them.
    progress
        Called after each song.
    block
        Plugins to leave out.
    **options
        Those of :class:`~allin1_core.runtime.session.Session`.

    Returns
    -------
    Summary
        Songs that fail are counted there, and raise nothing.

    Raises
    ------
    Allin1Error
        What concerns all songs: inputs, settings, weights, plugins, the cluster.
    """
    recipe = SessionRecipe(model, dict(options), tuple(block))
    refuse_single_process_options(recipe)
    storage = dict(storage_options or {})
    out = absolute(out_dir) or ""
    given = {"address": address, "cpus": cpus, "gpus": gpus, "batch": batch}
    resources = resources_of(given, options, workers)
    work = Work(
        recipe,
        out,
        {
            "overwrite": overwrite,
            "include_activations": include_activations,
            "include_embeddings": include_embeddings,
            "only": only,
        },
        storage,
        config_text(),
    )
    cluster = connected(address, worker_environment(work, resources))
    with cluster as is_own, ResultTable(out, storage) as table:
        found = songs_of(songs, storage, include)
        with Session(model, plugins=load_plugins(block=block), **options) as session:
            first = None if found[0].url else found[0].track
            resources = replace(with_price(resources, session, first), is_own=is_own)
        counted = Progress(len(found), time.monotonic)
        for index, outcome in run_songs(found, work, resources):
            table.add(found[index], outcome)
            counted.add(outcome)
            if progress is not None:
                progress(counted)
    counts = counted.counts
    return Summary(
        counts["done"],
        counts["skipped"],
        counts["kept"],
        counts["failed"],
        round(counted.seconds, 3),
        join(out, TABLE),
        join(out, DEAD_LETTERS),
    )
