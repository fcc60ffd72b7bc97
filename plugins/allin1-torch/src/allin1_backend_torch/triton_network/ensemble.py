"""The forward pass: the launches in their order, and the number of members at once."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from allin1_core.contracts.logits import Logits
from allin1_core.contracts.model import Parameters
from allin1_core.contracts.spectrogram import BANDS, LogSpectrogram
from allin1_core.contracts.stages import Task
from torch import Tensor
from torch.nn.functional import layer_norm

from allin1_backend_torch.network_parameters import CHANNELS, DEPTH, OUTPUTS
from allin1_backend_torch.network_planes import EPSILON, INSTRUMENTS
from allin1_backend_torch.running import spans
from allin1_backend_torch.triton_network import (
    front_end,
    heads,
    instruments,
    time_attention,
    time_mlp,
)
from allin1_backend_torch.triton_network.launching import Launch
from allin1_backend_torch.triton_network.packing import Weights, pack
from allin1_backend_torch.triton_network.workspace import BYTES, Workspace, workspace

_logger = logging.getLogger(__name__)

#: Maximum memory of a group of more than one member: that of eight members for a song of three and a half minutes.
GROUP_BYTES = 2 << 30


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Networks whose logits are averaged, created by :func:`ready`.

    Attributes
    ----------
    weights
        Weights of all members, on the device.
    device
        Device to run on.
    exact
        Whether products are as exact as float32, or float16.
    group_bytes
        Maximum memory of a group of members.
    """

    weights: Weights
    device: torch.device
    exact: bool
    group_bytes: int = GROUP_BYTES

    @torch.no_grad()
    def __call__(self, spectrogram: LogSpectrogram, task: Task, /) -> Logits:
        """Run as many members at once as memory allows."""
        frames = spectrogram.frames.contiguous()
        length, count = frames.shape[1], self.weights.count
        logits = torch.zeros((OUTPUTS, length), dtype=torch.float32, device=self.device)
        embeddings = None
        if task.embeddings:
            shape = (INSTRUMENTS, length, CHANNELS, count)
            embeddings = torch.empty(shape, dtype=torch.float32, device=self.device)
        with _current(self.device):
            for first, end in spans(count, max(1, self.group_bytes // (length * BYTES))):
                group = self.weights.members(first, end)
                part = None if embeddings is None else embeddings[..., first:end]
                logits += self._sum(group, frames, part)
                task.progress(end / count)
        logits /= count
        if embeddings is not None and count == 1:
            embeddings = embeddings[..., 0]
        return Logits(logits[0], logits[1], logits[2], logits[3:], embeddings)

    def _sum(self, group: Weights, spectrogram: Tensor, embeddings: Tensor | None) -> Tensor:
        """Sum of a group's logits ``[13, T]``; its embeddings are written to `embeddings`, unless None.

        The workspace is freed when it returns, for the next group.
        """
        frames = spectrogram.shape[1]
        space = workspace(frames, group.count, self.exact, self.device)
        shape = (group.count, OUTPUTS, frames)
        logits = torch.empty(shape, dtype=torch.float32, device=self.device)
        for launch in launches(spectrogram, group, space, logits, self.exact):
            launch.run()
        if embeddings is not None:
            _normalise(space, group, embeddings)
        return logits.sum(0)


def ready(members: Sequence[Parameters], device: torch.device, exact: bool) -> Ensemble:
    """Lay out the parameters of an ensemble and compile its kernels; always create an :class:`Ensemble` with this.

    The first launch of a kernel would also compile it, but not in the required way (:func:`_without_warp_group_products`),
    and compiled kernels are kept for the lifetime of the process.
    """
    ensemble = Ensemble(pack(members, device), device, exact)
    if device.type == "cuda":
        _compile(ensemble)
    return ensemble


def _compile(ensemble: Ensemble) -> None:
    """Compile every kernel for the device, in parallel, or load it from Triton's cache on disk."""
    device, exact = ensemble.device, ensemble.exact
    spectrogram = torch.zeros((INSTRUMENTS, 1, BANDS), dtype=torch.float32, device=device)
    logits = torch.zeros((1, OUTPUTS, 1), dtype=torch.float32, device=device)
    space = workspace(1, 1, exact, device)
    every = launches(spectrogram, ensemble.weights, space, logits, exact)
    kernels = {launch.variant: launch for launch in every}

    def compile_one(launch: Launch) -> None:
        with _current(device):  # applies to one thread only
            launch.compile()

    began = time.monotonic()
    told = began
    with _without_warp_group_products(), ThreadPoolExecutor(len(kernels)) as pool:
        waiting = [pool.submit(compile_one, launch) for launch in kernels.values()]
        for done, compiled in enumerate(as_completed(waiting), 1):
            compiled.result()
            now = time.monotonic()
            if now - told > (2 if told == began else 5) and done < len(waiting):
                told = now
                _logger.warning(
                    "Triton compiled the network for this GPU, which is done once: %d of %d kernels in %.0f s.",
                    *(done, len(waiting), now - began),
                )


def launches(
    spectrogram: Tensor, weights: Weights, space: Workspace, logits: Tensor, exact: bool
) -> Iterator[Launch]:
    """Every launch of a forward pass, in order.

    Parameters
    ----------
    spectrogram
        float32 ``[4, T, 81]``, contiguous.
    weights
        Weights of the members that `space` is for.
    space
        Memory for the computation.
    logits
        float32 ``[members, 13, T]``, contiguous, to be filled.
    exact
        Whether products are as exact as float32.
    """
    yield from front_end.launches(spectrogram, weights, space, exact)
    for block in range(DEPTH):
        yield time_attention.launch(block, weights, space)
        yield time_mlp.launch(block, weights, space, exact)
        yield instruments.launch(block, weights, space, exact)
    yield heads.launch(weights, space, logits)


def _normalise(space: Workspace, weights: Weights, out: Tensor) -> None:
    """Write the embeddings of a group of members to ``[4, T, 24, members]``."""
    x = space.x.view(space.members, INSTRUMENTS, space.frames, CHANNELS)
    for i in range(space.members):
        norm = (weights.gain[i], weights.shift[i], EPSILON)
        out[..., i] = layer_norm(x[i], (CHANNELS,), *norm)


def _current(device: torch.device) -> torch.cuda.device | nullcontext[None]:
    """Make a GPU the current one for Triton; does nothing if Triton interprets kernels on a CPU."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


@contextmanager
def _without_warp_group_products() -> Iterator[None]:
    """Within the block, prevent Triton from using Hopper's ``wgmma`` instructions.

    With them, Triton 3.6 compiled kernels of this network that computed wrong logits (by 2.5), or read out of bounds,
    perhaps because of its issue 11366; with ``mma.sync``, all are correct. The variable is part of the key of Triton's
    cache on disk, but not of that in memory.
    """
    name = "DISABLE_MMA_V3"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
