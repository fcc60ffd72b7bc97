"""The stages of the model that takes the mix, on a GPU, in one process, with the arrays on the device."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def stages(
    samples: Any, in_turns: Callable[..., Any], kernels: Callable[..., Any]
) -> dict[str, Any]:
    """Wall time of each stage in turns, its device time (kernels and copies), and the copy of the mix to the device.

    Parameters
    ----------
    samples
        A song, ``[samples, 2]``.
    in_turns, kernels
        As in ``gpu_session``.
    """
    import numpy as np
    import torch
    from allin1_backend_torch import functional, metrical_prep, mix_spectrogram, network
    from allin1_backend_torch.bridges import from_numpy, to_numpy
    from allin1_backend_torch.triton_network import backend as triton_network

    from allin1_core.contracts.audio import Mix
    from allin1_core.contracts.stages import Setup, Task
    from allin1_core.weights.catalogue import catalogue
    from allin1_core.weights.load import load_model

    device, told = "cuda:0", {}
    card = next(card for card in catalogue() if card.name == "builtin")
    torch.ones(1, device=device)
    began = time.perf_counter()
    model = load_model(card, download=False)
    told["members"], told["model read s"] = (
        len(model.members),
        round(time.perf_counter() - began, 3),
    )
    setup, task = Setup(device, model), Task()

    host = np.ascontiguousarray(samples.T, dtype=np.float32)
    mix = Mix(from_numpy(host, device))

    set_ups: dict[str, list[float]] = {}

    def made(name: str, create: Callable[[Any], Any], data: Any) -> tuple[Any, Any]:
        """Set up a stage, and run it; twice, of which the first includes imports and compilation."""
        call = result = None
        for _ in range(2):
            began = time.perf_counter()
            call = create(setup)
            torch.cuda.synchronize()
            created = time.perf_counter()
            result = call(data, task)
            torch.cuda.synchronize()
            times = created - began, time.perf_counter() - created
            set_ups.setdefault(name, []).extend(round(each, 3) for each in times)
        return call, result

    spectrogram, frames = made("spectrogram", mix_spectrogram.create, mix)
    by_triton, logits = made("nn triton", triton_network.create, frames)
    by_half, _ = made("nn triton float16", triton_network.create_float16, frames)
    by_torch, wanted = made("nn torch", network.create, frames)
    prep, _ = made("metrical_prep", metrical_prep.create, logits)
    sections, found = made("functional", functional.create, logits)
    told["set-up s, first call s, and both again"] = set_ups
    told["nn differs"] = float((logits.function - wanted.function).abs().max())
    told["segments"] = len(found.segments)

    def whole(data: Any = mix) -> None:
        logits = by_triton(spectrogram(data, task), task)
        to_numpy(prep(logits, task).values)
        sections(logits, task)

    pinned = torch.from_numpy(host).pin_memory()
    on_device = torch.empty_like(mix.samples)

    calls: dict[str, Callable[[], object]] = {
        "copy, pageable": lambda: torch.from_numpy(host).to(device),
        "copy, pinned": lambda: on_device.copy_(pinned, non_blocking=True),
        "copy, through pinned pieces": lambda: from_numpy(host, device),
        "spectrogram": lambda: spectrogram(mix, task),
        "nn triton": lambda: by_triton(frames, task),
        "nn triton float16": lambda: by_half(frames, task),
        "nn torch": lambda: by_torch(frames, task),
        "metrical_prep": lambda: prep(logits, task),
        "functional": lambda: sections(logits, task),
        "all, from the device": whole,
        "all, from main memory": lambda: whole(Mix(from_numpy(host, device))),
    }
    told["wall, in turns"] = in_turns(calls, 10)
    told["device"] = {name: kernels(call, 12) for name, call in calls.items()}
    told["device ms"] = {name: each["device_ms"] for name, each in told["device"].items()}
    return told
