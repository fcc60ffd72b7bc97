"""Comparison of the networks of allin1-torch with the same network with gathered attention.

Ports of the original without NATTEN's kernels gather the keys of every query; this is implemented below with plain
PyTorch operations. All run in one process, and the best time of each counts, so that the ratio is also valid on a
busy machine. Errors are relative to the reference in float64, for a short input.

    python benchmarks/bench_torch_network.py --seconds 90 --members 8 --device cpu --threads 2
    python benchmarks/bench_torch_network.py --seconds 180 --members 8 --device cuda:0

On CUDA, the Triton kernels are included if Triton is installed. Their set-up time is that with a warm cache of compiled
kernels, unless ``--cold`` is given. With --natten, the backends with NATTEN are included, too; which of its kernels are used
is printed first.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from allin1_backend_torch import network, network_natten
from allin1_backend_torch.triton_network import backend
from numpy.typing import NDArray
from torch import Tensor

from allin1_core.contracts.logits import Logits
from allin1_core.contracts.model import Parameters
from allin1_core.contracts.spectrogram import FRAMES_PER_SECOND, LogSpectrogram
from allin1_core.contracts.stages import Nn, Setup, Task
from allin1_core.reference import network as reference
from allin1_core.testing.signals import random_spectrogram
from allin1_core.testing.weights import random_model

T = TypeVar("T")


class _GatherNetwork:
    """The network as in the paper and the original code, with slow gathers."""

    def __init__(self, parameters: Parameters, device: str) -> None:
        self.p = {name: torch.tensor(values).to(device) for name, values in parameters.items()}

    def __call__(self, spectrogram: Tensor) -> Tensor:
        """Logits ``[T, 13]`` of a spectrogram ``[4, T, 81]``."""
        x = self.embed(spectrogram)
        for i in range(11):
            x = self.time_layer(f"encoder.layers.{i}.timelayer.", x, 2**i)
            x = self.instrument_layer(f"encoder.layers.{i}.instlayer.", x)
        x = self.norm("norm", x).permute(1, 0, 2).flatten(1)
        names = ("beat", "downbeat", "section", "function")
        return torch.cat([self.linear(f"{name}_classifier.classifier", x) for name in names], dim=1)

    def embed(self, spectrogram: Tensor) -> Tensor:
        x = spectrogram[:, None]
        for name, padding in (("conv0", (1, 0)), ("conv1", 0), ("conv2", (1, 0))):
            name = f"embeddings.{name}"
            kernel = self.p[f"{name}.weight"].permute(0, 3, 1, 2)
            x = F.conv2d(x, kernel, self.p[f"{name}.bias"], padding=padding)
            x = F.elu(F.max_pool2d(x, (1, 3)))
        return self.norm("embeddings.norm", x[..., 0].transpose(1, 2))

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.p[f"{name}.weight"], self.p[f"{name}.bias"])

    def norm(self, name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.p[f"{name}.weight"], self.p[f"{name}.bias"])

    def mlp(self, name: str, x: Tensor) -> Tensor:
        x = F.gelu(self.linear(f"{name}intermediate.dense", self.norm(f"{name}layernorm_after", x)))
        return self.linear(f"{name}output.dense", x)

    def time_layer(self, name: str, x: Tensor, dilation: int) -> Tensor:
        frames = x.shape[1]
        y = F.pad(
            self.norm(f"{name}layernorm_before", x), (0, 0, 0, max(0, 10 * dilation - frames))
        )
        both = [
            x + self.attend_in_time(f"{name}{part}.", y, step)[:, :frames]
            for part, step in (("attention", dilation), ("attention2", 2 * dilation))
        ]
        return (both[0] + both[1]) / 2 + self.mlp(name, torch.cat(both, dim=-1))

    def attend_in_time(self, name: str, y: Tensor, dilation: int) -> Tensor:
        frames = y.shape[1]
        query = torch.arange(frames, device=y.device)
        residue = query % dilation
        place, classes = query // dilation, (frames - residue + dilation - 1) // dilation
        start = torch.minimum((place - 2).clamp(min=0), classes - 5)
        window = start[:, None] + torch.arange(5, device=y.device)
        keys = window * dilation + residue[:, None]
        q, k, v = self.projections(name, y)
        bias = self.p[f"{name}self.rpb"][:, window - place[:, None] + 4].permute(1, 0, 2)
        scores = torch.einsum("ithc,itkhc->ithk", q, k[:, keys]) + bias
        context = torch.einsum("ithk,itkhc->ithc", scores.softmax(-1), v[:, keys])
        return self.linear(f"{name}output.dense", context.flatten(2))

    def instrument_layer(self, name: str, x: Tensor) -> Tensor:
        frames = x.shape[1]
        y = F.pad(self.norm(f"{name}layernorm_before", x), (0, 0, 0, max(0, 5 - frames), 0, 1))
        h = x + self.attend_to_instruments(f"{name}attention.", y)[:4, :frames]
        return h + self.mlp(name, h)

    def attend_to_instruments(self, name: str, y: Tensor) -> Tensor:
        frames = y.shape[1]
        query, near = torch.arange(frames, device=y.device), torch.arange(5, device=y.device)
        window = (query - 2).clamp(0, frames - 5)[:, None] + near
        q, k, v = self.projections(name, y)
        instrument_offset = near - near[:, None] + 4
        frame_offset = window - query[:, None] + 4
        rpb = self.p[f"{name}self.rpb"]
        bias = rpb[:, instrument_offset[:, None, :, None], frame_offset[None, :, None, :]]
        scores = torch.einsum("ithc,jtkhc->hitjk", q, k[:, window]) + bias
        weights = scores.flatten(3).softmax(-1).view(scores.shape)
        context = torch.einsum("hitjk,jtkhc->ithc", weights, v[:, window])
        return self.linear(f"{name}output.dense", context.flatten(2))

    def projections(self, name: str, y: Tensor) -> list[Tensor]:
        q, k, v = (
            self.linear(f"{name}self.{part}", y).unflatten(-1, (2, 12))
            for part in ("query", "key", "value")
        )
        return [q / 12**0.5, k, v]


def as_tensor(logits: Logits) -> Tensor:
    rows = (logits.beat[None], logits.downbeat[None], logits.section[None], logits.function)
    return torch.cat(rows).T


def as_array(logits: Logits) -> NDArray[np.float64]:
    rows = (logits.beat[None], logits.downbeat[None], logits.section[None], logits.function)
    return np.concatenate(rows).T


def variants(device: str, *, natten: bool) -> dict[str, Callable[[Setup], Nn]]:
    """Factories of all networks for `device`."""
    found: dict[str, Callable[[Setup], Nn]] = {"sliced": network.create}
    if device.startswith("cuda") and find_spec("triton") is not None:
        found |= {"triton": backend.create, "triton-float16": backend.create_float16}
    if natten:
        is_cuda = device.startswith("cuda")
        print((network_natten.probe_cuda if is_cuda else network_natten.probe_cpu)())
        found["natten"] = network_natten.create
    return found


def finished(device: str, call: Callable[[], T]) -> tuple[float, T]:
    """Return the time in seconds until the device has finished `call`, and its output."""
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    wait()
    began = time.perf_counter()
    result = call()
    wait()
    return time.perf_counter() - began, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=90, help="of audio")
    parser.add_argument("--members", type=int, default=8, help="networks in the ensemble")
    parser.add_argument("--device", default="cpu", help="cpu, cuda:0, mps")
    parser.add_argument("--threads", type=int, default=None, help="number of CPU threads")
    parser.add_argument("--repeats", type=int, default=3, help="calls, of which the best counts")
    parser.add_argument("--check", type=float, default=5, help="seconds to measure the errors on")
    parser.add_argument(
        "--alone", action="store_true", help="without the gathers, to measure the memory"
    )
    parser.add_argument("--cold", action="store_true", help="with an empty cache of kernels")
    parser.add_argument("--natten", action="store_true", help="measure the network by NATTEN, too")
    arguments = parser.parse_args()
    device = arguments.device
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.cold:
        os.environ["TRITON_CACHE_DIR"] = tempfile.mkdtemp()

    model = random_model(1, members=arguments.members)
    frames = round(arguments.seconds * FRAMES_PER_SECOND)
    spectrogram = torch.from_numpy(random_spectrogram(frames).frames).to(device)
    short = random_spectrogram(round(arguments.check * FRAMES_PER_SECOND)).frames
    exact = reference.create(Setup(model=model, threads=arguments.threads), dtype=np.float64)
    wanted = exact(LogSpectrogram(short), Task())

    runs: dict[str, Callable[[Tensor], Tensor]] = {}
    for name, create in variants(device, natten=arguments.natten).items():
        setup = Setup(device, model, threads=arguments.threads)
        setup_s, call = finished(device, partial(create, setup))
        runs[name] = lambda frames, call=call: as_tensor(call(LogSpectrogram(frames), Task()))
        first_s, _ = finished(device, partial(runs[name], spectrogram))
        print(f"{name:15} set-up {setup_s:6.2f} s, first call {first_s:7.3f} s")

    if not arguments.alone:
        gathers = [_GatherNetwork(member, device) for member in model.members]

        @torch.inference_mode()
        def gathered(frames: Tensor) -> Tensor:
            logits = gathers[0](frames)
            for each in gathers[1:]:
                logits += each(frames)
            return logits / len(gathers)

        runs["gathered"] = gathered
        # By default, PyTorch computes convolutions in TensorFloat-32.
        torch.backends.cudnn.allow_tf32 = False

    best = dict.fromkeys(runs, float("inf"))
    for _ in range(arguments.repeats):
        for name, run in runs.items():
            best[name] = min(best[name], finished(device, partial(run, spectrogram))[0])
    shared = torch.from_numpy(short).to(device)
    for name, run in runs.items():
        error = np.abs(run(shared).cpu().numpy() - as_array(wanted)).max()
        line = f"{name:15} {1000 * best[name]:9.2f} ms, {1000 * best[name] / arguments.seconds:8.4f} ms for a second"
        line += (
            f" of audio, {best[name] / best['sliced']:6.3f} of sliced, largest error {error:.1e}"
        )
        if device.startswith("cuda"):
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            run(spectrogram)
            line += f", peak {(torch.cuda.max_memory_allocated() - before) / 1e6:.0f} MB"
        print(line)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory of the process {peak / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
