"""Separation by allin1-torch compared with Demucs' own ``apply_model``: time, and the error of each precision.

From a mix in main memory to stems on the device. All run in turn in one process, and the best time of each counts, so
that the ratios are also valid on a busy machine. Errors are the level of each stem relative to its difference from Demucs
in float32.

Without trained weights, seeded random ones are used with increased layer scales, since initial values of 1e-4 hide the
effect of the residual branches; ``--steps`` also trains them on a synthetic song.

    python benchmarks/bench_demix.py --device cuda --seconds 180 --steps 100
    python benchmarks/bench_demix.py --device cpu --seconds 12 --threads 2 --repeats 2
    python benchmarks/bench_demix.py --device cpu --seconds 31 --threads 2 --only Demucs compiled side
    python benchmarks/bench_demix.py --device cpu --seconds 7 --threads 1 --cpu-time
    python benchmarks/bench_demix.py --device cuda --weights FOLDER --song song.wav
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from allin1_backend_torch import demix_members
from allin1_backend_torch.demix import Separation
from allin1_backend_torch.demix_at_once import usual_batch
from allin1_backend_torch.demix_cpu import Faster, Kernels, load_kernels
from allin1_backend_torch.demix_error import signal_to_error_db
from allin1_backend_torch.demix_members import MakeOperations
from allin1_backend_torch.demix_models import Bag, load_bag
from allin1_backend_torch.demucs_catalogue import separators
from allin1_backend_torch.triton_demix.backend import operations
from demucs.apply import BagOfModels, apply_model

from allin1_core.contracts.audio import SAMPLE_RATE, STEMS, Mix
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.stages import Task
from allin1_core.io.audio import read_audio
from allin1_core.testing.signals import music_stems
from allin1_core.weights.separation import read_separator


def synthetic_stems(seconds: float) -> torch.Tensor:
    """A song's stems by name of :data:`STEMS`, in stereo with some noise: float32 ``[4, 2, n]``."""
    stems = torch.from_numpy(music_stems(seconds).samples).repeat(1, 2, 1)
    rng = torch.Generator().manual_seed(0)
    return stems * torch.tensor([0.9, 1.1])[:, None] + 0.003 * torch.randn(
        stems.shape, generator=rng
    )


def make_residuals_matter(bag: Bag, scale: float) -> None:
    """Set the layer scales of random weights, which start at 1e-3 and 1e-4."""
    with torch.no_grad():
        for model in bag.models:
            for name, values in model.named_parameters():
                if name.endswith(".scale"):
                    values.fill_(scale)


def train(bag: Bag, stems: torch.Tensor, device: str, steps: int) -> None:
    """Train each model a little, to separate pieces of one song."""
    for model in bag.models:
        model.to(device).train()
        length = int(model.segment * SAMPLE_RATE)
        order = [STEMS.index(source) for source in model.sources if source in STEMS]
        optimiser = torch.optim.Adam(model.parameters(), lr=3e-4)
        rng = torch.Generator().manual_seed(1)
        for step in range(steps):
            starts = torch.randint(stems.shape[-1] - length, (4,), generator=rng).tolist()
            wanted = torch.stack([stems[:, :, s : s + length] for s in starts])[:, order]
            wanted = wanted.to(device)
            optimiser.zero_grad()
            out = model(wanted.sum(1))[:, : len(order)]
            loss = (out - wanted).abs().mean()
            loss.backward()
            optimiser.step()
            if step % 20 == 0 or step == steps - 1:
                print(f"step {step}: mean difference {loss.item():.5f}")
        model.eval().cpu()


def stock(bag: Bag, mix: torch.Tensor, parameters: DemixParameters, device: str) -> torch.Tensor:
    """Separate as ``demucs.api.Separator`` does, whose class would load the models itself."""
    random.seed(parameters.seed)
    mono = mix.mean(0)
    mean, scale = mono.mean(), mono.std() + 1e-8
    model: Any = bag.models[0]
    if len(bag.models) > 1:
        model = BagOfModels(list(bag.models), [list(each) for each in bag.weights])
    out = apply_model(
        model,
        ((mix - mean) / scale)[None],
        shifts=parameters.shifts,
        overlap=parameters.overlap,
        device=device,
    )
    found = dict(zip(bag.sources, (out * scale + mean)[0], strict=True))
    extra = [each for source, each in found.items() if source not in STEMS]
    found["other"] = found["other"] + sum(extra)
    return torch.stack([found[stem] for stem in STEMS])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=180, help="length of the generated audio")
    parser.add_argument("--song", help="a file to separate instead")
    parser.add_argument("--device", default="cpu", help="cpu, cuda")
    parser.add_argument("--threads", type=int, default=None, help="number of CPU threads")
    parser.add_argument("--repeats", type=int, default=3, help="calls, of which the best counts")
    parser.add_argument(
        "--batch", type=int, default=None, help="maximum number of segments at once"
    )
    parser.add_argument("--model", default="htdemucs")
    parser.add_argument("--weights", default="random:1234", help="folder, or random:SEED")
    parser.add_argument(
        "--layer-scale", type=float, default=0.1, help="layer scale of random weights"
    )
    parser.add_argument("--steps", type=int, default=0, help="training steps for random weights")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="measure CPU time of all threads, which is less affected by other work on the machine",
    )
    parser.add_argument("--no-stock", action="store_true", help="do not time Demucs itself")
    parser.add_argument(
        "--only", nargs="+", metavar="START", help="time only what begins so, such as Demucs, side"
    )
    arguments = parser.parse_args()

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    parameters = DemixParameters(model=arguments.model, weights=arguments.weights).validate()
    cards = {card.name: card for card in separators()}
    bag = load_bag(parameters, lambda: read_separator(parameters.model, cards))
    if parameters.random_seed is not None:
        make_residuals_matter(bag, arguments.layer_scale)
        if arguments.steps:
            train(bag, synthetic_stems(60), arguments.device, arguments.steps)
    if arguments.song:
        mix = torch.from_numpy(np.ascontiguousarray(read_audio(arguments.song)[0]))
    else:
        mix = synthetic_stems(arguments.seconds).sum(0)
    seconds = mix.shape[-1] / SAMPLE_RATE

    device = torch.device(arguments.device)
    on_gpu = device.type == "cuda"
    usual = arguments.batch or usual_batch(device, bag)
    batch = usual if on_gpu else arguments.batch or 1

    def separation(
        precision: str, channels_last: bool, operations: MakeOperations | None = None
    ) -> Callable[[], torch.Tensor]:
        own = Separation(
            bag, parameters, device, precision, channels_last, batch, operations=operations
        )
        return lambda: own(Mix(mix.to(device)), Task()).samples

    def with_modules(make: Callable[[Any], Any], size: int = batch) -> Callable[[], torch.Tensor]:
        own = Separation(bag, parameters, device, "float32", False, size)
        own._members["float32"] = [
            replace(member, forward=make(model))
            for member, model in zip(own.members("float32"), bag.models, strict=True)
        ]
        return lambda: own(Mix(mix.to(device)), Task()).samples

    with torch.backends.cudnn.flags(allow_tf32=False):
        wanted = stock(bag, mix, parameters, arguments.device).to(device)
    runs: dict[str, Callable[[], torch.Tensor]] = {}
    if not arguments.no_stock:
        runs["Demucs"] = lambda: stock(bag, mix, parameters, arguments.device)
    if on_gpu:
        runs["modules, float32"] = separation("float32", False)
    else:
        runs["modules, float32"] = with_modules(
            lambda model: partial(demix_members._run_module, model)
        )
        runs["rearranged"] = with_modules(lambda model: Faster(model, Kernels()))
        kernels = load_kernels()
        branch = Kernels(kernels.branch)
        if kernels.branch is not None:
            runs["compiled branches"] = with_modules(lambda model: Faster(model, branch))
        if kernels.attention is not None:
            runs["compiled attention too"] = with_modules(lambda model: Faster(model, kernels))
        runs["side by side"] = with_modules(lambda model: Faster(model, kernels), usual)
    for precision in ("float32", "tf32", "float16") if on_gpu else ("float32",):
        runs[f"channels last, {precision}"] = separation(precision, True)
    if on_gpu:
        runs["Triton kernels, float16"] = separation("float16", True, operations)

    if arguments.only:
        runs = {name: run for name, run in runs.items() if name.startswith(tuple(arguments.only))}
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    best: dict[str, float] = {}
    levels: dict[str, dict[str, float]] = {}
    peaks: dict[str, float] = {}
    for name, run in runs.items():  # the first call of each sets up, and tells the error
        levels[name] = signal_to_error_db(wanted, run().to(device))
        best[name] = float("inf")
    for _ in range(arguments.repeats):
        for name, run in runs.items():
            if on_gpu:
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
            began = clock()
            out = run()
            if on_gpu:
                torch.cuda.synchronize()
                peaks[name] = torch.cuda.max_memory_allocated() / 2**30
            best[name] = min(best[name], clock() - began)
            del out
    base = best.get("Demucs") or next(iter(best.values()))
    for name, took in best.items():
        decibels = ", ".join(f"{stem} {level:.1f}" for stem, level in levels[name].items())
        peak = f", peak {peaks[name]:.1f} GiB" if name in peaks else ""
        print(
            f"{name:24} {1000 * took:9.1f} ms, {1000 * took / seconds:8.3f} ms for a second of audio,"
            f" ratio {base / took:5.2f}{peak}; dB: {decibels}"
        )


if __name__ == "__main__":
    main()
