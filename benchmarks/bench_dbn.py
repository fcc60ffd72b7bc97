"""Comparison of metre decoders: allin1-dbn-cython, with each instruction set, and madmom.

Prints, for songs of 30, 240 and 1200 s, time and peak memory of each and the ratios to madmom::

    python benchmarks/bench_dbn.py
    python benchmarks/bench_dbn.py --seconds 30 --rounds 20

One thread. The decoders take turns within a round, and the best round of each counts: a busy machine slows down
both, and never makes one faster. Memory is the peak of a separate process for each decoder, minus its memory
just before decoding. madmom needs 7 GB for 1200 s; if less is free, that line is left out.

madmom is timed without its ``process``, which current versions of NumPy do not support: only the searches of
both metres. The other decoder is timed completely, from activations to beats, after a first song (tables and
memory of a session are created once). Both must find the same path, which is asserted.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from allin1_backend_dbn_cython._kernel import instruction_sets
from allin1_backend_dbn_cython.decoder import Decoder
from numpy.typing import NDArray

from allin1_core.contracts.logits import Activations
from allin1_core.contracts.metre import MetreParameters
from allin1_core.contracts.stages import Task
from allin1_core.testing.madmom import as_madmom_expects

PARAMETERS = MetreParameters(threshold=0.24)

#: Provides the names that madmom expects, for the rest of the process.
_MADMOM = ExitStack()


def song(seconds: int) -> NDArray[np.float32]:
    """Activations of a song in 4/4 whose tempo varies around 121 bpm, with missing beats."""
    rng = np.random.default_rng(seconds)
    frames = seconds * 100
    logits = rng.normal(-7, 1, (frames, 2))
    time_s, beat = 0.3, 0
    while time_s * 100 < frames - 3:
        if rng.random() > 0.05:
            near = round(time_s * 100) + np.arange(-2, 3)
            peak = np.array([0.0, 6, 10, 6, 0]) - 7
            logits[near, 0] = np.maximum(logits[near, 0], peak)
            if beat % 4 == 0:
                logits[near, 1] = np.maximum(logits[near, 1], peak + 0.5)
        time_s += 60 / (121 * (1 + 0.03 * np.sin(time_s / 20))) + rng.normal(0, 0.003)
        beat += 1
    beats, downbeats = (1 / (1 + np.exp(-logits))).T
    rows = np.column_stack(
        (np.maximum(1e-8, beats - downbeats), downbeats, 1 - (beats + downbeats) / 2)
    )
    return (rows / rows.sum(axis=1, keepdims=True))[:, :2].astype(np.float32)


def madmom_searches() -> list[Any]:
    """Hidden Markov models of madmom, one per metre; 0.16.1 needs names that were removed from Python and NumPy."""
    _MADMOM.enter_context(as_madmom_expects())
    from madmom.features.downbeats import DBNDownBeatTrackingProcessor

    return list(DBNDownBeatTrackingProcessor(**PARAMETERS.madmom_arguments(100)).hmms)


def reached(values: NDArray[Any]) -> NDArray[Any]:
    """Crop to the frames that reach the threshold, as both decoders do."""
    frames = np.nonzero(values >= PARAMETERS.threshold)[0]
    return values[frames[0] : frames[-1] + 1]


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peak_memory(side: str, seconds: int) -> float:
    """Peak memory in bytes minus that just before, in a separate process; NaN if it failed."""
    run = subprocess.run(
        [sys.executable, __file__, "--memory", side, "--seconds", str(seconds)],
        capture_output=True,
        text=True,
        check=False,
    )
    return float(run.stdout) if run.returncode == 0 else float("nan")


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # On Linux, getrusage() of a child includes the memory of its parent at the start, unlike this file.
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def measure_memory(side: str, seconds: int) -> None:
    """Print what :func:`peak_memory` reads."""
    warm, values = Activations(song(3)), Activations(song(seconds))
    if side == "madmom":
        searches = madmom_searches()
        for search in searches:
            search.viterbi(warm.values)
        before = peak_bytes()
        for search in searches:
            search.viterbi(reached(values.values))
    else:
        decoder = Decoder(PARAMETERS, threads=1, instruction_set=side)
        decoder(warm, Task())
        before = peak_bytes()
        decoder(values, Task())
    print(peak_bytes() - before)


def free_bytes() -> float:
    """Free memory in bytes; infinity if unknown."""
    path = Path("/proc/meminfo")
    if not path.exists():
        return float("inf")
    for line in path.read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024.0
    return float("inf")


def bench(seconds: int, rounds: int, madmom_rounds: int) -> None:
    values = song(seconds)
    activations = Activations(values)
    searches = madmom_searches()
    decoders = {
        name: Decoder(PARAMETERS, threads=1, instruction_set=name) for name in instruction_sets()
    }
    runs: dict[str, Callable[[], Any]] = {
        name: lambda d=decoder: d(activations, Task()) for name, decoder in decoders.items()
    }
    metres = [run() for run in runs.values()]
    assert all(np.array_equal(metre.beat_times_s, metres[0].beat_times_s) for metre in metres)
    enough = free_bytes() > 1.2 * seconds * 100 * 4 * 14876
    best = dict.fromkeys([*runs, "madmom"], float("inf"))
    for n in range(rounds):
        for name, run in runs.items():
            best[name] = min(best[name], timed(run))
        if enough and n < madmom_rounds:
            cropped = reached(values)
            start = time.perf_counter()
            scores = [search.viterbi(cropped)[1] for search in searches]
            best["madmom"] = min(best["madmom"], time.perf_counter() - start)
            assert [score for _, score in metres[0].metre_log_probabilities] == scores
    memory = {name: peak_memory(name, seconds) for name in runs}
    memory["madmom"] = peak_memory("madmom", seconds) if enough else float("nan")
    print(f"\n{seconds} s, metres {PARAMETERS.beats_per_bar}, one thread")
    print("  side            time      ratio     memory     share")
    for name, seconds_taken in best.items():
        print(
            f"  {name:10} {seconds_taken * 1e3:9.1f} ms {best['madmom'] / seconds_taken:7.1f}x"
            f" {memory[name] / 1e6:9.1f} MB {memory[name] / memory['madmom']:8.2%}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, nargs="+", default=[30, 240, 1200])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--madmom-rounds", type=int, default=3)
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        measure_memory(arguments.memory, arguments.seconds[0])
        return
    for seconds in arguments.seconds:
        bench(seconds, arguments.rounds, arguments.madmom_rounds)


if __name__ == "__main__":
    main()
