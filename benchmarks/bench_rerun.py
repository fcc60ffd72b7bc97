"""The cost of running a finished batch again: ``python benchmarks/bench_rerun.py [SONGS] [SECONDS] [SUFFIX]``.

Analyses synthetic songs with the command line and the model ``builtin``, and runs the same command again, in turns with
one that has a single finished song, to measure the start-up; both also with ``--no-cache``, which reads every song again.
Prints the best time of each, in seconds and CPU seconds, and the time of the reruns without the start-up as a fraction of
the first run. SUFFIX is that of the songs, ``wav`` by default.
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


def timed(songs: list[Path], out: Path, *options: str) -> tuple[float, float]:
    """Seconds, and CPU seconds, of a run."""
    command = [sys.executable, "-m", "allin1_core", "analyze", "-m", "builtin", "-q", *options]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([*command, "-o", out, *songs], check=True)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def best(times: list[tuple[float, float]]) -> tuple[float, float]:
    return min(one[0] for one in times), min(one[1] for one in times)


def main(songs: int = 60, seconds: float = 60.0, suffix: str = "wav") -> None:
    os.environ["ALLIN1_CONFIG"] = ""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ALLIN1_CACHE_DIR"] = str(Path(folder) / "cache")
        rng = np.random.default_rng(0)
        paths = [Path(folder) / f"{number}.{suffix}" for number in range(songs)]
        for path in paths:
            samples = rng.normal(0, 0.1, (round(seconds * 44100), 2))
            soundfile.write(path, samples, 44100)
        out = Path(folder) / "out"
        time.sleep(3)  # files that were just written are not remembered
        first = timed(paths, out)
        again, start, reading, start_reading = [], [], [], []
        for _ in range(ROUNDS):
            again.append(timed(paths, out))
            start.append(timed(paths[:1], out))
            reading.append(timed(paths, out, "--no-cache"))
            start_reading.append(timed(paths[:1], out, "--no-cache"))
    print(f"{songs} songs of {seconds:g} s    seconds  CPU seconds")
    print(f"{'first run':<24} {first[0]:>7.2f} {first[1]:>12.2f}")
    for name, runs, starts in (("", again, start), (" --no-cache", reading, start_reading)):
        for what, found in (("rerun", best(runs)), ("start-up", best(starts))):
            print(f"{what + name:<24} {found[0]:>7.2f} {found[1]:>12.2f}")
        shares = [(a - s) / f for a, s, f in zip(best(runs), best(starts), first, strict=True)]
        print(
            f"rerun{name} beyond the start-up: {shares[0]:.2%} of the first run,"
            f" {shares[1]:.2%} of its CPU time"
        )


if __name__ == "__main__":
    main(*(kind(value) for kind, value in zip((int, float, str), sys.argv[1:], strict=False)))
