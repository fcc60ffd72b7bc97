"""Speed of one and of two processes for a batch: ``python benchmarks/bench_jobs.py [SONGS] [SECONDS] [ROUNDS]``.

Analyses the same synthetic songs with ``-j 1`` and ``-j 2`` in turns, and prints the fastest time of each, including the
start-up of the processes, and the number of cores in use.
"""

from __future__ import annotations

import resource
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

OPTIONS = {"cache": False}


def cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def timed(executor: BatchRunner, tracks: list[Track]) -> tuple[float, float]:
    """Seconds, and CPU seconds, of a batch."""
    before, began = cpu_s(), time.perf_counter()
    outcomes = list(executor.run(tracks))
    assert all(outcome.status == "done" for outcome in outcomes)
    return time.perf_counter() - began, cpu_s() - before


def main(songs: int = 60, seconds: float = 60.0, rounds: int = 3) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        paths = [Path(folder) / f"{number}.wav" for number in range(songs)]
        for path in paths:
            soundfile.write(path, rng.normal(0, 0.1, (round(seconds * 44100), 2)), 44100)
        tracks = make_tracks(paths)
        times: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
        for _ in range(rounds):
            with Session("builtin", **OPTIONS) as session:
                times[1].append(timed(InProcess(session), tracks))
            times[2].append(timed(InWorkers(SessionRecipe("builtin", OPTIONS), 2), tracks))
    for jobs, found in times.items():
        best, cpu = min(found)
        every = ", ".join(f"{one:.1f}" for one, _ in sorted(found))
        cores = f"{cpu / best:.2f} cores"
        print(f"-j {jobs}: {best:.1f} s ({every}), {cores}, {songs} songs of {seconds:g} s")


if __name__ == "__main__":
    main(*(kind(value) for kind, value in zip((int, float, int), sys.argv[1:], strict=False)))
