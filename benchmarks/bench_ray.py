"""What Ray costs against the local batch, and whether reading in an operator of its own is faster.

``python benchmarks/bench_ray.py [--songs N] [--seconds S] [--rounds R]`` analyses the same songs, made by synthesis, by two
processes of this machine (``-j 2``), by the executor ``ray`` with two workers, and by a pipeline of two operators of Ray
Data, one that reads and one that analyses, with the audio in the object store between them. The sides take turns. Two
sizes of a batch tell the start from the rate: ``seconds = start + songs / rate``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
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
WORKERS = 2


def locally(tracks: Sequence[Track], out: Path) -> int:
    executor = InWorkers(SessionRecipe("builtin", {**OPTIONS, "threads": WORKERS}), WORKERS)
    return sum(o.status == "done" for o in executor.run(tracks, out_dir=out))


def by_ray(tracks: Sequence[Track], out: Path) -> int:
    resources = Resources(address="local", workers=WORKERS, song_s=0.5)
    songs = [Song(track) for track in tracks]
    return sum(o.status == "done" for _, o in run_songs(songs, Work(RECIPE, str(out)), resources))


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


def by_operators(tracks: Sequence[Track], out: Path) -> int:
    import ray.data

    with connected("local"):
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = [{"path": str(track.source)} for track in tracks]
        songs = ray.data.from_items(rows, override_num_blocks=max(1, len(rows) // 4))
        counts = songs.map_batches(read, batch_size=4, num_cpus=0.5).map_batches(
            Analyser,
            batch_size=4,
            num_cpus=0.75,
            compute=ray.data.ActorPoolStrategy(size=WORKERS),
            runtime_env={"env_vars": {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}},
        )
        return sum(len(batch["beats"]) for batch in counts.iter_batches(batch_size=None))


SIDES: dict[str, Callable[[Sequence[Track], Path], int]] = {
    "local -j 2": locally,
    "ray": by_ray,
    "ray, two operators": by_operators,
}


def make_songs(folder: Path, songs: int, seconds: float) -> list[Track]:
    paths = []
    mix = 0.3 * music_stems(seconds, seed=1).samples.sum(axis=0)
    for number in range(songs):
        paths.append(folder / f"{number:04}.mp3")
        soundfile.write(paths[-1], np.roll(mix, 997 * number, axis=-1).T, 44_100)
    return make_tracks(paths)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs", type=int, default=40)
    parser.add_argument("--few", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(SIDES))
    options = parser.parse_args()
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    times: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        tracks = make_songs(Path(folder), options.songs, options.seconds)
        for round_ in range(options.rounds):
            for count in (options.few, options.songs):
                for name in options.sides:
                    out = Path(folder, f"{name}-{count}-{round_}")
                    began = time.perf_counter()
                    done = SIDES[name](tracks[:count], out)
                    times.setdefault((name, count), []).append(time.perf_counter() - began)
                    assert done == count, (name, done)
                    print(f"{name:<20} {count:4} songs {times[name, count][-1]:7.1f} s", flush=True)
    local = 0.0
    for name in options.sides:
        few, many = (statistics.median(times[name, n]) for n in (options.few, options.songs))
        song_s = (many - few) / (options.songs - options.few)
        local = local or song_s
        print(
            f"{name:<20} start {few - options.few * song_s:5.1f} s, {song_s * 1000:6.0f} ms a song of"
            f" {options.seconds:g} s; {100 * (song_s / local - 1):+.1f} % of the local batch's"
        )


if __name__ == "__main__":
    main()
