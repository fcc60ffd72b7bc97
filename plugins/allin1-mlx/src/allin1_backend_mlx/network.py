"""The stage ``nn``: the network of Kim & Nam (WASPAA 2023), as allin1 1.1.0 runs it, in MLX operations.

These modules describe the method, and why it is equivalent to the gathers of the original:
:mod:`.network_parameters` (what is folded), :mod:`.network_front_end`, :mod:`.network_time`,
:mod:`.network_instruments`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import mlx.core as mx
from allin1_core.contracts.logits import Logits
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.contracts.stages import Nn, Setup, Task
from allin1_core.errors import WeightsError

from allin1_backend_mlx.computing import OnDevice, compiled, device_named
from allin1_backend_mlx.network_front_end import MARGIN, embed
from allin1_backend_mlx.network_instruments import instrument_layer
from allin1_backend_mlx.network_layers import normalised
from allin1_backend_mlx.network_parameters import (
    CHANNELS,
    DEPTH,
    INSTRUMENTS,
    OUTPUTS,
    WINDOW,
    Arrays,
    Network,
    prepare,
)
from allin1_backend_mlx.network_time import time_layer


@dataclass(frozen=True)
class Sizes:
    """Sizes of the computation, in frames times members.

    Attributes
    ----------
    front_end
        Size for the front end, which needs about 60 kB per unit.
    layers
        Size for a layer, which needs up to 22 kB per unit; above this, members are computed in groups.
    """

    front_end: int
    layers: int


CPU_SIZES = Sizes(front_end=512, layers=512)
GPU_SIZES = Sizes(front_end=16_384, layers=49_152)


def exact_length(frames: int) -> int:
    """Length to compute a song with if nothing is compiled: its own, but at least a window."""
    return max(frames, WINDOW)


def shared_length(frames: int) -> int:
    """Length to compute a song with that is shared with other songs: at most an eighth more, from 512 frames on.

    >>> shared_length(18_000), shared_length(19_000), shared_length(3)
    (18432, 20480, 64)
    """
    step = max(64, 1 << max(0, (frames - 1).bit_length() - 4))
    return -(-frames // step) * step


def create(setup: Setup) -> Nn:
    """Prepare the networks of ``setup.model``.

    Raises
    ------
    WeightsError
        No model was given, or a parameter is missing or has the wrong shape.
    """
    if setup.model is None or not setup.model.members:
        raise WeightsError("The network was given no parameters.", remedy="Choose a model.")
    on_gpu = device_named(setup.device) == mx.gpu
    with mx.stream(device_named(setup.device)):
        network = prepare(setup.model.members)
    ensemble = Ensemble(
        network=network,
        count=len(setup.model.members),
        steps=make_steps(partial(compiled, device=setup.device)),
        computed_length=shared_length if on_gpu else exact_length,
        sizes=GPU_SIZES if on_gpu else CPU_SIZES,
    )
    return OnDevice(ensemble, setup.device)


@dataclass(frozen=True, eq=False)
class Steps:
    """The functions that make up the network, compiled or not.

    Attributes
    ----------
    embed
        The front end.
    time_layers
        One layer per dilation.
    instrument_layer
        The same layer for all blocks.
    read
        Converts values of the last block to the sum of the members' outputs.
    """

    embed: Callable[..., mx.array]
    time_layers: tuple[Callable[..., mx.array], ...]
    instrument_layer: Callable[..., mx.array]
    read: Callable[..., mx.array]


def make_steps(wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Steps:
    """Pass the network's functions through `wrap`, once."""
    return Steps(
        embed=wrap(embed),
        time_layers=tuple(wrap(partial(time_layer, dilation=1 << i)) for i in range(DEPTH)),
        instrument_layer=wrap(instrument_layer),
        read=wrap(_read),
    )


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Networks whose logits are averaged.

    Attributes
    ----------
    network
        Parameters of all members.
    count
        Number of members.
    steps
        Functions of the network.
    computed_length
        Returns the number of frames to compute for a song of a number of frames.
    sizes
        Sizes of the computation.
    """

    network: Network
    count: int
    steps: Steps
    computed_length: Callable[[int], int]
    sizes: Sizes

    def __call__(self, spectrogram: LogSpectrogram, task: Task, /) -> Logits:
        """Run the members together, or group by group."""
        frames = spectrogram.frames
        length = frames.shape[1]
        total = self.computed_length(length)
        group = group_size(self.count, self.sizes.layers // total)
        logits = mx.zeros((total, OUTPUTS))
        embeddings = []
        for first in range(0, self.count, group):

            def progress(part: float, done: int = first) -> None:
                task.progress((done + group * part) / self.count)

            network = self.network.members(first, first + group)
            x = self._blocks(network, frames, total, progress)
            logits = logits + self.steps.read(x, network.heads)
            if task.embeddings:
                embeddings.append(_embeddings(x[:, :length], network.heads))
            mx.eval(logits, embeddings)
        logits = mx.contiguous((logits[:length] / self.count).T)
        return Logits(
            logits[0],
            logits[1],
            logits[2],
            logits[3:],
            _arranged(mx.concatenate(embeddings)) if embeddings else None,
        )

    def _blocks(
        self, network: Network, frames: mx.array, total: int, progress: Callable[[float], None]
    ) -> mx.array:
        """Output of the last block, ``[members, total, 4, 24]``.

        Each layer is evaluated separately, which limits the memory.
        """
        length = mx.array(frames.shape[1])
        x = self._embedded(network.front_end, frames, length, total)
        progress(1 / (DEPTH + 1))
        for i in range(DEPTH):
            x = self.steps.time_layers[i](x, length, network.time_layers[i])
            mx.eval(x)
            x = self.steps.instrument_layer(x, length, network.instrument_layers[i])
            mx.eval(x)
            progress((i + 2) / (DEPTH + 1))
        return x

    def _embedded(self, p: Arrays, frames: mx.array, length: mx.array, total: int) -> mx.array:
        """Output of the front end, computed in tiles of the same shape."""
        tile = min(total, max(1, self.sizes.front_end // p["first"].shape[0]))
        tiles = -(-total // tile)
        behind = tiles * tile - frames.shape[1] + MARGIN
        padded = mx.pad(frames.transpose(1, 0, 2), [(MARGIN, behind), (0, 0), (0, 0)])
        parts = []
        for first in range(0, tiles * tile, tile):
            stretch = padded[first : first + tile + 2 * MARGIN]
            parts.append(self.steps.embed(stretch, mx.array(first), length, p))
            mx.eval(parts[-1])
        x = mx.concatenate(parts, axis=1)[:, :total]
        mx.eval(x)
        return x


def group_size(members: int, most: int) -> int:
    """Largest divisor of `members` that is at most `most`: groups of one size share their compiled graphs."""
    return next(size for size in range(min(members, max(1, most)), 0, -1) if members % size == 0)


def _read(x: mx.array, p: Arrays) -> mx.array:
    """Sum over the members of their outputs, ``[frames, 13]``."""
    values = normalised(x).reshape(*x.shape[:2], INSTRUMENTS * CHANNELS)
    return mx.addmm(p["weight_bias"], values, p["weight"]).sum(0)


def _embeddings(x: mx.array, p: Arrays) -> mx.array:
    return normalised(x) * p["gain"][:, None] + p["bias"][:, None]


def _arranged(embeddings: mx.array) -> mx.array:
    """``[members, T, 4, 24]`` to ``[4, T, 24, members]``, without the last axis for one member."""
    arranged = mx.contiguous(embeddings.transpose(2, 1, 3, 0))
    return arranged[..., 0] if embeddings.shape[0] == 1 else arranged
