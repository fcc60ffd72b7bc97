"""The spectrogram of allin1-torch, in double and single precision, compared with the NumPy reference.

All run in turn in one process, and the best time of each counts, so that the ratios are also valid on a busy machine.

    python benchmarks/bench_torch_spectrogram.py --seconds 90 --device cpu --threads 2
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from allin1_backend_torch import spectrogram

from allin1_core.contracts.audio import SAMPLE_RATE, Stems
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference import spectrogram as reference
from allin1_core.testing.signals import noise_stems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=90, help="of audio")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps")
    parser.add_argument("--threads", type=int, default=None, help="number of CPU threads")
    parser.add_argument("--repeats", type=int, default=5, help="calls, of which the best counts")
    arguments = parser.parse_args()

    stems = noise_stems(round(arguments.seconds * SAMPLE_RATE))
    there = Stems(torch.from_numpy(stems.samples).to(arguments.device))
    setup = Setup(arguments.device, threads=arguments.threads)
    on_host = reference.create(Setup(threads=arguments.threads))
    default, single = spectrogram.create(setup), spectrogram.create_float32(setup)
    synchronise = torch.cuda.synchronize if there.samples.is_cuda else lambda: None

    def on_device(call: spectrogram.Spectrogram) -> torch.Tensor:
        frames = call(there, Task()).frames
        synchronise()
        return frames

    runs = {
        "NumPy reference": lambda: on_host(stems, Task()).frames,
        "PyTorch": lambda: on_device(default),
        "PyTorch, float32": lambda: on_device(single),
    }
    best = dict.fromkeys(runs, float("inf"))
    outputs = {}
    for _ in range(arguments.repeats):
        for name, run in runs.items():
            began = time.perf_counter()
            outputs[name] = run()
            best[name] = min(best[name], time.perf_counter() - began)
    wanted = outputs["NumPy reference"]
    for name, seconds in best.items():
        output = outputs[name]
        values = output.cpu().numpy() if isinstance(output, torch.Tensor) else output
        print(
            f"{name:17} {1000 * seconds / arguments.seconds:8.4f} ms for a second of audio,"
            f" ratio {best['NumPy reference'] / seconds:6.2f},"
            f" largest difference {np.abs(values - wanted).max():.1e}"
        )


if __name__ == "__main__":
    main()
