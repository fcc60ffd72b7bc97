"""The overhead of Ray relative to a local batch, and whether reading in a separate operator is faster.

``python benchmarks/bench_ray.py [--songs N] [--seconds S] [--rounds R]`` analyses the same synthetic songs with two
processes of this machine (``-j 2``), with the executor ``ray`` with two workers, and with a pipeline of two operators of Ray
Data, one that reads and one that analyses, with the audio in the object store between them. They take turns.

Wall and CPU seconds are summed over all processes, including the services of Ray, for a small and for a large batch: the
difference gives the rate, and the rest the start-up. Compare CPU seconds on a busy machine. Requires psutil.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile
from allin1_ray.cluster import Resources, connected, run_songs
from allin1_ray.work import Song, Work

from allin1_core.contracts.audio import Mix
from allin1_core.io.audio import read_audio
from allin1_core.runtime.executors import InWorkers
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import Track, make_tracks
from allin1_core.runtime.worker_process import SessionRecipe
from allin1_core.testing.signals import music_stems

OPTIONS = {"cache": False, "threads": 1}
RECIPE = SessionRecipe("builtin", OPTIONS)
WORKERS, BATCH = 2, 4


def locally(tracks: Sequence[Track], out: Path) -> Iterator[int]:
    executor = InWorkers(SessionRecipe("builtin", {**OPTIONS, "threads": WORKERS}), WORKERS)
    for outcome in executor.run(tracks, out_dir=out):
        yield outcome.status == "done"


def by_ray(tracks: Sequence[Track], out: Path) -> Iterator[int]:
    resources = Resources(address="local", workers=WORKERS, batch=BATCH)
    songs = [Song(track) for track in tracks]
    for _, outcome in run_songs(songs, Work(RECIPE, str(out)), resources):
        yield outcome.status == "done"


class Analyser:
    """The second of two operators."""

    def __init__(self) -> None:
        self._session = Session(RECIPE.model, **OPTIONS)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Analyse the songs of a block."""
        found = []
        for audio in batch["audio"]:
            samples = np.frombuffer(audio, np.float32).reshape(2, -1)
            found.append(len(self._session.run(Mix(samples)).products.metre.beat_times_s))
        return {"beats": found}


def read(batch: dict[str, Any]) -> dict[str, Any]:
    return {"audio": [read_audio(Path(path))[0].tobytes() for path in batch["path"]]}


def by_operators(tracks: Sequence[Track], out: Path) -> Iterator[int]:
    import ray.data

    with connected("local", {}):
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = [{"path": str(track.source)} for track in tracks]
        songs = ray.data.from_items(rows, override_num_blocks=len(rows) // BATCH)
        counts = songs.map_batches(read, batch_size=BATCH, num_cpus=0.5).map_batches(
            Analyser,
            batch_size=BATCH,
            num_cpus=0.75,
            compute=ray.data.ActorPoolStrategy(size=WORKERS),
            runtime_env={"env_vars": {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}},
        )
        for batch in counts.iter_batches(batch_size=None, prefetch_batches=0):
            yield len(batch["beats"])


SIDES: dict[str, Callable[[Sequence[Track], Path], Iterator[int]]] = {
    "local -j 2": locally,
    "ray": by_ray,
    "ray, two operators": by_operators,
}


def cpu_s() -> float:
    """CPU seconds of this process and its children, including ended ones that were waited for."""
    total = sum(os.times()[:4])
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def measured(outcomes: Iterator[int], songs: int) -> tuple[float, float]:
    """Wall and CPU seconds until all songs are done, with the processes still there."""
    began, used = time.perf_counter(), cpu_s()
    done, found = 0, (0.0, 0.0)
    for count in outcomes:
        done += count
        if done == songs:
            found = time.perf_counter() - began, cpu_s() - used
    assert done == songs, done
    return found


def make_songs(folder: Path, songs: int, seconds: float) -> list[Track]:
    paths = []
    mix = 0.3 * music_stems(seconds, seed=1).samples.sum(axis=0)
    for number in range(songs):
        paths.append(folder / f"{number:04}.mp3")
        soundfile.write(paths[-1], np.roll(mix, 997 * number, axis=-1).T, 44_100)
    return make_tracks(paths)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs", type=int, default=64)
    parser.add_argument("--few", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(SIDES))
    options = parser.parse_args()
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in options.sides}
    with tempfile.TemporaryDirectory() as folder:
        tracks = make_songs(Path(folder), options.songs, options.seconds)
        for round_ in range(options.rounds):
            for name in options.sides:
                runs = []
                for count in (options.few, options.songs):
                    out = Path(folder, f"{name}-{count}-{round_}")
                    runs.append(measured(SIDES[name](tracks[:count], out), count))
                more = options.songs - options.few
                wall, cpu = ((many - few) / more for few, many in zip(*runs, strict=True))
                rates[name].append((wall, cpu))
                start = [
                    few - options.few * rate for few, rate in zip(runs[0], (wall, cpu), strict=True)
                ]
                print(
                    f"{name:<20} {wall * 1000:6.0f} ms a song, {cpu * 1000:6.0f} ms of CPU;"
                    f" start {start[0]:5.1f} s, {start[1]:5.1f} s of CPU",
                    flush=True,
                )
    base = [statistics.median(one[i] for one in rates[options.sides[0]]) for i in (0, 1)]
    for name in options.sides:
        found = [statistics.median(one[i] for one in rates[name]) for i in (0, 1)]
        more = [100 * (mine / theirs - 1) for mine, theirs in zip(found, base, strict=True)]
        print(f"{name:<20} {more[0]:+.1f} % of wall time a song, {more[1]:+.1f} % of CPU time")


if __name__ == "__main__":
    main()
