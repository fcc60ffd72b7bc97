"""The forward pass: the launches in their order, and the number of members at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

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
from allin1_backend_torch.triton_compiling import compile_kernels, current
from allin1_backend_torch.triton_launching import Launch
from allin1_backend_torch.triton_network import (
    front_end,
    heads,
    instruments,
    time_attention,
    time_mlp,
)
from allin1_backend_torch.triton_network.packing import Weights, pack
from allin1_backend_torch.triton_network.workspace import BYTES, Workspace, workspace

#: Memory that a group of members may take, where it is more than one: eight, of a song of three minutes and a half.
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
    programs
        Number of programs that the kernels for Hopper GPUs are launched with, or 0 for those in plain Triton.
    group_bytes
        Maximum memory of a group of members.
    """

    weights: Weights
    device: torch.device
    exact: bool
    programs: int = 0
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
        with current(self.device):
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
        for launch in launches(spectrogram, group, space, logits, self.exact, self.programs):
            launch.run()
        if embeddings is not None:
            _normalise(space, group, embeddings)
        return logits.sum(0)


def ready(
    members: Sequence[Parameters], device: torch.device, exact: bool, programs: int = 0
) -> Ensemble:
    """Lay out the parameters of an ensemble and compile its kernels; always create an :class:`Ensemble` with this.

    A kernel's first launch would compile it too, but not as it must be (:func:`~allin1_backend_torch.triton_compiling.without_warp_group_products`), and what is
    compiled stays for the life of the process.
    """
    ensemble = Ensemble(pack(members, device), device, exact, programs)
    if device.type == "cuda":
        _compile(ensemble)
    return ensemble


def _compile(ensemble: Ensemble) -> None:
    """Compile every kernel for the device, in parallel, or load it from Triton's cache on disk."""
    device, exact = ensemble.device, ensemble.exact
    spectrogram = torch.zeros((INSTRUMENTS, 1, BANDS), dtype=torch.float32, device=device)
    logits = torch.zeros((1, OUTPUTS, 1), dtype=torch.float32, device=device)
    space = workspace(1, 1, exact, device)
    every = launches(spectrogram, ensemble.weights, space, logits, exact, ensemble.programs)
    compile_kernels(every, device, "the network")


def launches(
    spectrogram: Tensor,
    weights: Weights,
    space: Workspace,
    logits: Tensor,
    exact: bool,
    programs: int = 0,
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
    programs
        Number of programs that the kernels for Hopper GPUs, which are exact, are launched with, or 0 for those in plain
        Triton.

    Raises
    ------
    ImportError
        Kernels for Hopper GPUs are wanted, and this version of Triton has no Gluon, or another.
    """
    second = partial(front_end.second, exact=exact)
    attention: Callable[[int, Weights, Workspace], Launch] = time_attention.launch
    mlp = partial(time_mlp.launch, exact=exact)
    if programs:
        # Imported here because this imports Gluon, which not every Triton has.
        from allin1_backend_torch.triton_network.hopper import second_convolution
        from allin1_backend_torch.triton_network.hopper import time_attention as hopper_attention
        from allin1_backend_torch.triton_network.hopper import time_mlp as hopper_mlp

        second = partial(second_convolution.launch, programs=programs)
        attention = hopper_attention.launch
        mlp = partial(hopper_mlp.launch, programs=programs)
    yield front_end.first(spectrogram, weights, space, exact)
    yield second(weights, space)
    yield front_end.third(weights, space, exact)
    for block in range(DEPTH):
        yield attention(block, weights, space)
        yield mlp(block, weights, space)
        yield instruments.launch(block, weights, space, exact)
    yield heads.launch(weights, space, logits)


def _normalise(space: Workspace, weights: Weights, out: Tensor) -> None:
    """Write the embeddings of a group of members to ``[4, T, 24, members]``."""
    x = space.x.view(space.members, INSTRUMENTS, space.frames, CHANNELS)
    for i in range(space.members):
        norm = (weights.gain[i], weights.shift[i], EPSILON)
        out[..., i] = layer_norm(x[i], (CHANNELS,), *norm)
