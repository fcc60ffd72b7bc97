"""The network of allin1-cython compared with PyTorch: with gathered attention, and that of allin1-torch.

The gathers are those of ``bench_torch_network.py``. All run in turn in one process, and the best time of each
counts, so that the ratios are also valid on a busy machine.

    python benchmarks/bench_cython_network.py --seconds 90 --members 1 --threads 2 --isa avx512 avx2
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from allin1_backend_cython._isa import instruction_sets
from allin1_backend_cython.network import Ensemble
from allin1_backend_cython.network_parameters import pack
from allin1_backend_torch.network import create as create_torch
from bench_torch_network import _GatherNetwork, as_tensor

from allin1_core.contracts.logits import Logits
from allin1_core.contracts.spectrogram import FRAMES_PER_SECOND, LogSpectrogram
from allin1_core.contracts.stages import Setup, Task
from allin1_core.testing.signals import random_spectrogram
from allin1_core.testing.weights import random_model


def as_array(logits: Logits) -> np.ndarray:
    return np.concatenate([[logits.beat, logits.downbeat, logits.section], logits.function])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=90, help="of audio")
    parser.add_argument("--members", type=int, default=1, help="networks in the ensemble")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="calls, of which the best counts")
    parser.add_argument("--isa", nargs="+", default=instruction_sets(), help="instruction sets")
    parser.add_argument("--alone", action="store_true", help="without the two PyTorch networks")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    model = random_model(1, members=arguments.members)
    spectrogram = random_spectrogram(round(arguments.seconds * FRAMES_PER_SECOND))
    tensor = torch.from_numpy(spectrogram.frames)
    members = tuple(map(pack, model.members))
    runs: dict[str, Callable[[], np.ndarray]] = {}

    def compiled(isa: str) -> Callable[[], np.ndarray]:
        ensemble = Ensemble(members, isa, arguments.threads)
        return lambda: as_array(ensemble(spectrogram, Task()))

    for isa in arguments.isa:
        runs[isa] = compiled(isa)
    if not arguments.alone:
        sliced = create_torch(Setup("cpu", model, threads=arguments.threads))
        gathers = [_GatherNetwork(member, "cpu") for member in model.members]

        @torch.inference_mode()
        def gathered() -> np.ndarray:
            return np.mean([network(tensor).numpy().T for network in gathers], axis=0)

        runs["torch"] = lambda: as_tensor(sliced(LogSpectrogram(tensor), Task())).numpy().T
        runs["gathered"] = gathered

    best = dict.fromkeys(runs, float("inf"))
    outputs = {}
    for _ in range(arguments.repeats):
        for name, run in runs.items():
            began = time.perf_counter()
            outputs[name] = run()
            best[name] = min(best[name], time.perf_counter() - began)
    last = list(runs)[-1]
    for name, seconds in best.items():
        difference = np.abs(outputs[name] - outputs[last]).max()
        print(
            f"{name:9} {1000 * seconds / arguments.seconds:8.2f} ms for a second of audio, "
            f"{best[last] / seconds:6.2f} times as fast as {last}, differs by {difference:.1e}"
        )


if __name__ == "__main__":
    main()
