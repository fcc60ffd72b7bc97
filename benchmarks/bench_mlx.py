"""The stages of allin1-mlx compared with the NumPy reference.

Both run in turn in one process, and the best time of each counts, so that the ratio is also valid on a busy machine. The
first run of MLX, which compiles on a GPU, is reported separately. Every stage evaluates its output before it returns, so
lazy evaluation does not affect the times.

    python benchmarks/bench_mlx.py --seconds 10 --members 8 --device cpu
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
from allin1_backend_mlx import bridges, functional, metrical_prep, network, spectrogram

from allin1_core.contracts.arrays import move_arrays
from allin1_core.contracts.audio import SAMPLE_RATE
from allin1_core.contracts.spectrogram import FRAMES_PER_SECOND
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference import functional as reference_functional
from allin1_core.reference import metrical_prep as reference_metrical_prep
from allin1_core.reference import network as reference_network
from allin1_core.reference import spectrogram as reference_spectrogram
from allin1_core.testing import signals
from allin1_core.testing.conformance import measure
from allin1_core.testing.weights import random_model


def timed(call: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    result = call(*arguments)
    return time.perf_counter() - began, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10, help="of audio")
    parser.add_argument("--members", type=int, default=8, help="networks in the ensemble")
    parser.add_argument("--device", default="cpu", help="cpu, gpu")
    parser.add_argument("--repeats", type=int, default=3, help="calls, of which the best counts")
    arguments = parser.parse_args()

    frames = round(arguments.seconds * FRAMES_PER_SECOND)
    setup = Setup(arguments.device, random_model(1, members=arguments.members), threads=2)
    logits = signals.song_logits(frames)
    stages = {
        "spectrogram": (
            spectrogram,
            reference_spectrogram,
            signals.noise_stems(round(arguments.seconds * SAMPLE_RATE)),
        ),
        "nn": (network, reference_network, signals.random_spectrogram(frames)),
        "metrical_prep": (metrical_prep, reference_metrical_prep, logits),
        "functional": (functional, reference_functional, logits),
    }
    for name, (ours, theirs, data) in stages.items():
        there = move_arrays(data, lambda array: bridges.from_numpy(array, arguments.device))
        setup_s, call = timed(ours.create, setup)
        reference = theirs.create(setup)
        first_s, output = timed(call, there, Task())
        mx.reset_peak_memory()
        best = {"MLX": float("inf"), "NumPy": float("inf")}
        for _ in range(arguments.repeats):
            seconds, output = timed(call, there, Task())
            best["MLX"] = min(best["MLX"], seconds)
            seconds, wanted = timed(reference, data, Task())
            best["NumPy"] = min(best["NumPy"], seconds)
        output = move_arrays(output, np.asarray)
        print(
            f"{name:13} set-up {setup_s:6.3f} s, first {first_s:7.3f} s,"
            f" then {1000 * best['MLX'] / arguments.seconds:9.4f} ms for a second of audio,"
            f" NumPy {1000 * best['NumPy'] / arguments.seconds:9.4f}, ratio"
            f" {best['NumPy'] / best['MLX']:5.2f}, largest difference {measure(wanted, output):.1e},"
            f" peak {mx.get_peak_memory() / 1e6:.0f} MB"
        )


if __name__ == "__main__":
    main()
