"""The network of allin1-torch that attends by NATTEN against the one in slices, side by side.

Which of NATTEN's kernels it is, is printed first. Both run in turn in one process, and the best of each counts, so that the
ratio holds on a busy machine as well.

    python benchmarks/bench_natten.py --seconds 180 --members 8 --device cuda
"""

from __future__ import annotations

import argparse
import time

import torch
from allin1_backend_torch import network, network_natten

from allin1_core.contracts.logits import Logits
from allin1_core.contracts.spectrogram import FRAMES_PER_SECOND, LogSpectrogram
from allin1_core.contracts.stages import Nn, Setup, Task
from allin1_core.testing.signals import random_spectrogram
from allin1_core.testing.weights import random_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=90, help="of audio")
    parser.add_argument("--members", type=int, default=8, help="networks in the ensemble")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=None, help="on a CPU")
    parser.add_argument("--repeats", type=int, default=3, help="of which the best counts")
    arguments = parser.parse_args()

    print(getattr(network_natten, f"probe_{arguments.device}")())
    frames = round(arguments.seconds * FRAMES_PER_SECOND)
    there = torch.from_numpy(random_spectrogram(frames).frames).to(arguments.device)
    model = random_model(1, members=arguments.members)
    setup = Setup(arguments.device, model, threads=arguments.threads)

    def finished(call: Nn, spectrogram: torch.Tensor) -> tuple[float, Logits]:
        began = time.perf_counter()
        logits = call(LogSpectrogram(spectrogram), Task())
        call.synchronize()
        return time.perf_counter() - began, logits

    calls, outputs = {}, {}
    for name, factory in (("sliced", network.create), ("natten", network_natten.create)):
        began = time.perf_counter()
        calls[name] = factory(setup)
        finished(calls[name], there[:, :100])
        print(f"{name}: set-up and first call {time.perf_counter() - began:.2f} s")
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(arguments.repeats):
        for name, call in calls.items():
            seconds, outputs[name] = finished(call, there)
            best[name] = min(best[name], seconds)
    for name, seconds in best.items():
        print(f"{name} {1000 * seconds / arguments.seconds:8.3f} ms for a second of audio")
    sliced, natten = outputs["sliced"], outputs["natten"]
    difference = max(
        (getattr(sliced, field) - getattr(natten, field)).abs().max().item()
        for field in ("beat", "downbeat", "section", "function")
    )
    print(f"ratio {best['natten'] / best['sliced']:.2f}, largest difference {difference:.1e}")


if __name__ == "__main__":
    main()
