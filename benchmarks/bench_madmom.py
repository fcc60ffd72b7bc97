"""Each installed madmom compared with the NumPy reference, and madmom's downbeat model.

Prints seconds of computation per second of audio, the best of several rounds, and the set-up time after the import::

    python benchmarks/bench_madmom.py
    python benchmarks/bench_madmom.py --seconds 60 --rounds 5

Each madmom runs in a separate process, in which the other cannot be imported. The reference takes turns with it, so that a
busy machine slows down both. NumPy uses its default number of threads; none of the stages uses other threads.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from allin1_backend_madmom import decoder, downbeat_rnn, probe, spectrogram
from allin1_backend_madmom.provider import PACKAGES, Provider, find

from allin1_core.contracts.audio import Mix
from allin1_core.contracts.stages import Setup, Task
from allin1_core.contracts.verdict import Ready
from allin1_core.reference import metrical_dbn
from allin1_core.reference import spectrogram as reference
from allin1_core.testing import signals


def best_of(rounds: int, *calls: Callable[[], Any]) -> list[float]:
    """Time of the best round of each in seconds; they take turns."""
    best = [float("inf")] * len(calls)
    for _ in range(rounds):
        for number, call in enumerate(calls):
            began = time.perf_counter()
            call()
            best[number] = min(best[number], time.perf_counter() - began)
    return best


def compare(seconds: float, rounds: int) -> None:
    began = time.perf_counter()
    found = find()
    if not isinstance(found, Provider):
        return
    print(f"{found}: imported in {time.perf_counter() - began:.2f} s")
    stems = signals.music_stems(seconds)
    song = signals.song_activations(int(seconds * 100), bpm=121)
    mix = Mix(np.repeat(stems.samples.sum(axis=0), 2, axis=0))
    tasks: list[tuple[str, Callable[[Setup], Any], Callable[[Setup], Any] | None, Any]] = [
        ("spectrogram", spectrogram.create, reference.create, stems),
        ("metrical_dbn", decoder.create, metrical_dbn.create, song),
    ]
    if isinstance(probe.check_networks(), Ready):
        tasks.append(("madmom-rnn", downbeat_rnn.create, None, mix))
    for name, create, create_reference, data in tasks:
        began = time.perf_counter()
        calls = [create(Setup())]
        setup_s = time.perf_counter() - began
        if create_reference is not None:
            calls.append(create_reference(Setup()))
        times = best_of(rounds, *(partial(call, data, Task()) for call in calls))
        line = f"  {name:<13} set-up {setup_s:6.3f} s, {times[0] / seconds:8.5f} s/s"
        if len(times) > 1:
            line += f"; reference {times[1] / seconds:8.5f} s/s, {times[0] / times[1]:5.1f} times as fast"
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the song")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=PACKAGES, help="hide the other madmom, in this process")
    options = parser.parse_args()
    if options.only is None:
        for name in PACKAGES:
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--only", name], check=True)
        return
    for name, package in PACKAGES.items():
        if name != options.only:
            sys.modules[package] = None  # type: ignore[assignment]
    compare(options.seconds, options.rounds)


if __name__ == "__main__":
    main()
