"""The executor ``ray`` of ``allin1 analyze``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allin1_core.errors import Allin1Error, SettingsError
from allin1_core.io.audio import probe_audio
from allin1_core.runtime.batch import Outcome
from allin1_core.runtime.executors import (
    BatchProgress,
    ExecutorSetup,
    refuse_single_process_options,
)
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import Track

from allin1_ray.cluster import Resources, absolute, run_songs
from allin1_ray.progress import Progress
from allin1_ray.table import ResultTable
from allin1_ray.work import Song, Work, config_text

if TYPE_CHECKING:
    from allin1_core.runtime.analysis import ResultOptions
    from typing_extensions import Unpack


def create(setup: ExecutorSetup) -> OnRay:
    """Make the executor."""
    refuse_single_process_options(setup.recipe)
    if setup.recipe.options.get("timings_path"):
        raise SettingsError(
            "timings_path cannot be combined with the executor ray.",
            remedy="Measure on one machine, without --executor.",
        )
    if len(setup.devices) > 1:
        raise SettingsError(
            "The executor ray takes no list of devices: Ray deals them out.",
            remedy="Write --device cuda, and -O ray.gpus=0.5 for two workers on each.",
        )
    return OnRay(setup)


def resources_of(
    setup_options: dict[str, Any], recipe_options: Any, workers: int | None
) -> Resources:
    """What workers with these options of the plugin and of a session need."""
    device = str(recipe_options.get("device") or "")
    gpus = setup_options.get("gpus")
    return Resources(
        setup_options.get("address"),
        workers,
        setup_options.get("cpus") or float(recipe_options.get("threads") or 1),
        float(device.startswith("cuda")) if gpus is None else gpus,
        setup_options.get("batch"),
    )


class OnRay:
    """Runs a batch on a cluster."""

    def __init__(self, setup: ExecutorSetup) -> None:
        self._setup = setup

    def run(
        self,
        tracks: Sequence[Track],
        *,
        out_dir: Path | None = None,
        overwrite: bool = False,
        progress: BatchProgress | None = None,
        **options: Unpack[ResultOptions],
    ) -> Iterator[Outcome]:
        """Analyse `tracks`, and give each outcome as it comes."""
        if not tracks:
            return
        setup = self._setup
        resources = resources_of(dict(setup.options), setup.recipe.options, setup.jobs)
        resources = with_price(resources, setup.session, tracks[0])
        work = Work(
            setup.recipe,
            absolute(out_dir),
            {"overwrite": overwrite, **options},
            config=config_text(),
        )
        songs = [Song(track) for track in tracks]
        counted = Progress(len(songs), time.monotonic)
        with ExitStack() as stack:
            table = None
            if work.out is not None and setup.options["table"]:
                table = stack.enter_context(ResultTable(work.out))
            outcomes = run_songs(songs, work, resources)
            stack.callback(outcomes.close)  # type: ignore[attr-defined]
            for index, outcome in outcomes:
                if table is not None:
                    table.add(songs[index], outcome)
                counted.add(outcome)
                if progress is not None:
                    progress(index, counted.short, 1.0)
                yield outcome


def with_price(resources: Resources, session: Session, track: Track | None) -> Resources:
    """The same, with what a song like `track`, or of three minutes, is expected to take, by what was measured here."""
    from dataclasses import replace

    try:
        seconds = None if track is None else probe_audio(track.source).duration_s
        cost = session.explain(seconds or None).chosen.cost_s
    except (Allin1Error, OSError):
        return resources  # this machine may have neither the song nor a route
    return replace(resources, song_s=cost)
