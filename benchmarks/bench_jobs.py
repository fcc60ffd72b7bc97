"""Whether processes that share songs are faster than one: ``python benchmarks/bench_jobs.py [SONGS] [SECONDS]``.

Analyses the same songs, made by synthesis, with ``-j 1`` and ``-j 2`` in turns, and prints the fastest of each, start-up of
the processes included.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from allin1_core.runtime.executors import BatchRunner, InProcess, InWorkers
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import Track, make_tracks
from allin1_core.runtime.worker_process import SessionRecipe

ROUNDS = 3
OPTIONS = {"cache": False}


def timed(executor: BatchRunner, tracks: list[Track]) -> float:
    began = time.perf_counter()
    outcomes = list(executor.run(tracks))
    assert all(outcome.status == "done" for outcome in outcomes)
    return time.perf_counter() - began


def main(songs: int = 8, seconds: float = 60.0) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        paths = [Path(folder) / f"{number}.wav" for number in range(songs)]
        for path in paths:
            soundfile.write(path, rng.normal(0, 0.1, (round(seconds * 44100), 2)), 44100)
        tracks = make_tracks(paths)
        times: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(ROUNDS):
            with Session("builtin", **OPTIONS) as session:
                times[1].append(timed(InProcess(session), tracks))
            times[2].append(timed(InWorkers(SessionRecipe("builtin", OPTIONS), 2), tracks))
    for jobs, found in times.items():
        all_times = ", ".join(f"{one:.1f}" for one in sorted(found))
        print(f"-j {jobs}: {min(found):.1f} s ({all_times}), {songs} songs of {seconds:g} s")


if __name__ == "__main__":
    main(*(kind(value) for kind, value in zip((int, float), sys.argv[1:], strict=False)))
