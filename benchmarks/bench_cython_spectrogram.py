"""The spectrogram of allin1-cython, with each instruction set, compared with madmom, PyTorch and the reference.

All run in turn in one process, and the best time of each counts, so that the ratios are also valid on a busy machine.
Packages that are not installed are left out.

    python benchmarks/bench_cython_spectrogram.py --seconds 60 --threads 2
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib import import_module

import numpy as np
from allin1_backend_cython._isa import instruction_sets
from allin1_backend_cython.spectrogram import Spectrogram
from numpy.typing import NDArray

from allin1_core.contracts.audio import SAMPLE_RATE, Stems
from allin1_core.contracts.stages import Setup, Task
from allin1_core.errors import BackendError
from allin1_core.reference import spectrogram as reference
from allin1_core.testing.signals import music_stems, noise_stems


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="of audio")
    parser.add_argument("--music", action="store_true", help="a synthetic song instead of noise")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--repeats", type=int, default=5, help="calls, of which the best counts")
    arguments = parser.parse_args()

    if arguments.music:
        stems = music_stems(arguments.seconds)
    else:
        stems = noise_stems(round(arguments.seconds * SAMPLE_RATE))
    setup = Setup(threads=arguments.threads)
    runs: dict[str, Callable[[], NDArray[np.float32]]] = {}
    try:
        madmom = import_module("allin1_backend_madmom.spectrogram").create(setup)
        runs["madmom"] = lambda: madmom(stems, Task()).frames
    except (ImportError, BackendError) as error:
        print(f"without madmom: {error}")
    numpy = reference.create(setup)
    runs["reference"] = lambda: numpy(stems, Task()).frames
    try:
        torch = import_module("torch")
        pytorch = import_module("allin1_backend_torch.spectrogram").create(setup)
        tensors = Stems(torch.from_numpy(stems.samples))
        runs["PyTorch"] = lambda: pytorch(tensors, Task()).frames.numpy()
    except ImportError as error:
        print(f"without PyTorch: {error}")
    for isa in instruction_sets():
        compiled = Spectrogram(arguments.threads, instructions=isa)
        runs[isa] = lambda compiled=compiled: compiled(stems, Task()).frames  # type: ignore[misc]

    best = dict.fromkeys(runs, float("inf"))
    frames = {}
    for _ in range(arguments.repeats):
        for name, run in runs.items():
            began = time.perf_counter()
            frames[name] = run()
            best[name] = min(best[name], time.perf_counter() - began)
    base = next(iter(runs))
    for name, seconds in best.items():
        difference = np.abs(frames[name] - frames[base]).max()
        print(
            f"{name:10} {1000 * seconds / arguments.seconds:8.4f} ms for a second of audio,"
            f" {best[base] / seconds:6.2f} times {base}, largest difference {difference:.1e}"
        )


if __name__ == "__main__":
    main()
