"""The spectrogram of a mix by every installed backend, compared with the reference.

All run in turn in one process, and the best time of each counts, so that the ratios are also valid on a busy machine; CPU
time is that of all threads of the process. `stems` is the reference's spectrogram of four stems of the same length, for
comparison. Backends that are not installed are left out.

    python benchmarks/bench_mix_spectrogram.py --seconds 60 --threads 2
    python benchmarks/bench_mix_spectrogram.py --seconds 180 --device cuda
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from allin1_core.contracts.audio import SAMPLE_RATE, Mix, Stems
from allin1_core.contracts.stages import Setup, Task
from allin1_core.io.audio import read_audio
from allin1_core.reference import mix_spectrogram, spectrogram
from allin1_core.testing.signals import noise_mix


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="of audio")
    parser.add_argument("--song", type=Path, help="a file to use instead of noise")
    parser.add_argument("--device", default="cpu", help="device of PyTorch and MLX: cpu, cuda, gpu")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--repeats", type=int, default=5, help="calls, of which the best counts")
    arguments = parser.parse_args()

    count = round(arguments.seconds * SAMPLE_RATE)
    samples = noise_mix(count).samples if arguments.song is None else read_audio(arguments.song)[0]
    mix = Mix(np.ascontiguousarray(samples[:, :count]))
    seconds = mix.duration_s
    setup = Setup(arguments.device, threads=arguments.threads)
    runs: dict[str, Callable[[], Any]] = {}

    reference = mix_spectrogram.create(Setup())
    runs["reference"] = lambda: reference(mix, Task()).frames
    stems = Stems(np.repeat(mix.samples[np.newaxis], 4, axis=0))
    of_stems = spectrogram.create(Setup())
    runs["stems"] = lambda: of_stems(stems, Task()).frames
    for add in (add_cython, add_torch, add_mlx):
        try:
            add(runs, mix, setup)
        except ImportError as error:  # noqa: PERF203
            print(f"without {add.__name__.removeprefix('add_')}: {error}")

    best = dict.fromkeys(runs, float("inf"))
    least_cpu = dict(best)
    outputs = {}
    for _ in range(arguments.repeats):
        for name, run in runs.items():
            began, cpu = time.perf_counter(), time.process_time()
            outputs[name] = run()
            best[name] = min(best[name], time.perf_counter() - began)
            least_cpu[name] = min(least_cpu[name], time.process_time() - cpu)
    print(f"{seconds:.1f} s of audio, {arguments.threads or 'all'} threads")
    for name, took in best.items():
        told = ""
        if name != "stems":
            output = outputs[name]
            values = np.asarray(output.cpu() if hasattr(output, "cpu") else output)
            each = np.abs(values - outputs["reference"]).max(axis=(1, 2))
            told = ", differs by " + " ".join(f"{view:.1e}" for view in each)
        print(
            f"{name:10} {1000 * took / seconds:8.4f} ms for a second of audio"
            f" (CPU time {1000 * least_cpu[name] / seconds:.4f}), {1000 * took:8.2f} ms in all,"
            f" {best['reference'] / took:6.2f} times the reference{told}"
        )


def add_cython(runs: dict[str, Callable[[], Any]], mix: Mix, setup: Setup) -> None:
    kind = import_module("allin1_backend_cython.mix_spectrogram").MixSpectrogram
    for isa in import_module("allin1_backend_cython._isa").instruction_sets():
        call = kind(setup.threads, instructions=isa)
        runs[isa] = lambda call=call: call(mix, Task()).frames  # type: ignore[misc]


def add_torch(runs: dict[str, Callable[[], Any]], mix: Mix, setup: Setup) -> None:
    torch = import_module("torch")
    call = import_module("allin1_backend_torch.mix_spectrogram").create(setup)
    there = Mix(torch.from_numpy(mix.samples).to(setup.device))

    def run() -> Any:
        frames = call(there, Task()).frames
        call.synchronize()
        return frames

    runs["PyTorch"] = run


def add_mlx(runs: dict[str, Callable[[], Any]], mix: Mix, setup: Setup) -> None:
    mlx = import_module("mlx.core")
    if setup.device not in ("cpu", "gpu"):
        raise ImportError(f"MLX does not support the device {setup.device}")
    call = import_module("allin1_backend_mlx.mix_spectrogram").create(setup)
    there = Mix(mlx.array(mix.samples))
    runs["MLX"] = lambda: call(there, Task()).frames


if __name__ == "__main__":
    main()
