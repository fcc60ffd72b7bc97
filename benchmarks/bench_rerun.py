"""The cost of running a finished batch again: ``python benchmarks/bench_rerun.py [SONGS] [SECONDS]``.

Analyses synthetic songs with the command line and the model ``builtin``, and runs the same command again, in turns with
one that has a single finished song, to measure the start-up. Prints the best time of each, in seconds and CPU seconds, and
the time of the rerun without the start-up as a fraction of the first run.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

ROUNDS = 3


def timed(songs: list[Path], out: Path) -> tuple[float, float]:
    """Seconds, and CPU seconds, of a run."""
    command = [sys.executable, "-m", "allin1_core", "analyze", "-m", "builtin", "--no-cache", "-q"]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([*command, "-o", out, *songs], check=True)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def best(times: list[tuple[float, float]]) -> tuple[float, float]:
    return min(one[0] for one in times), min(one[1] for one in times)


def main(songs: int = 60, seconds: float = 60.0) -> None:
    os.environ["ALLIN1_CONFIG"] = ""
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        paths = [Path(folder) / f"{number}.flac" for number in range(songs)]
        for path in paths:
            samples = rng.normal(0, 0.1, (round(seconds * 44100), 2))
            soundfile.write(path, samples, 44100)
        out = Path(folder) / "out"
        first = timed(paths, out)
        again, start = [], []
        for _ in range(ROUNDS):
            again.append(timed(paths, out))
            start.append(timed(paths[:1], out))
    print(f"{songs} songs of {seconds:g} s    seconds  CPU seconds")
    for name, found in (("first run", first), ("rerun", best(again)), ("start-up", best(start))):
        print(f"{name:<24} {found[0]:>7.2f} {found[1]:>12.2f}")
    shares = [(a - s) / f for a, s, f in zip(best(again), best(start), first, strict=True)]
    print(
        f"rerun beyond the start-up: {shares[0]:.2%} of the first run, {shares[1]:.2%} of its CPU time"
    )


if __name__ == "__main__":
    main(*(kind(value) for kind, value in zip((int, float), sys.argv[1:], strict=False)))
