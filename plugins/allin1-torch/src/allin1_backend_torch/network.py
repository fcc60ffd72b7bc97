"""The stage ``nn``: the network of Kim & Nam (WASPAA 2023), as allin1 1.1.0 runs it, in PyTorch operations.

These modules describe the method, and why it is equivalent to the gathers of the original:
:mod:`.network_parameters` (what is folded), :mod:`.network_planes` (the layout), :mod:`.network_front_end`,
:mod:`.network_time`, :mod:`.network_instruments`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from allin1_core.contracts.logits import Logits
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.contracts.stages import Nn, Setup, Task
from allin1_core.errors import WeightsError
from torch import Tensor

from allin1_backend_torch.network_front_end import embed
from allin1_backend_torch.network_instruments import (
    blocks_of,
    instrument_layer,
    pieces_in_tiles,
    position_table,
)
from allin1_backend_torch.network_parameters import (
    CHANNELS,
    DEPTH,
    OUTPUTS,
    Network,
    prepare,
)
from allin1_backend_torch.network_planes import INSTRUMENTS, columns, normalised
from allin1_backend_torch.network_time import TimeLayers, in_slices
from allin1_backend_torch.running import Each, Span, running, spans, thread_count
from allin1_backend_torch.waiting import Waiting


@dataclass(frozen=True)
class Tiles:
    """Number of frames to process at a time, in the front end and in the layers.

    On a CPU, the data of a tile should fit into the second-level cache, but be long enough for the call overhead not
    to matter. On a GPU, only memory limits it.
    """

    front_end: int
    layers: int


CPU_TILES = Tiles(front_end=256, layers=768)
GPU_TILES = Tiles(front_end=16384, layers=32768)


def create(setup: Setup) -> Nn:
    """Prepare the networks of ``setup.model`` on ``setup.device``, with PyTorch operations only.

    Raises
    ------
    WeightsError
        No model was given, or a parameter is missing or has the wrong shape.
    """
    return Waiting(prepare_ensemble(setup), torch.device(setup.device))


def prepare_ensemble(setup: Setup) -> Ensemble:
    """Prepare the networks of ``setup.model`` on ``setup.device``."""
    if setup.model is None or not setup.model.members:
        raise WeightsError("The network was given no parameters.", remedy="Choose a model.")
    device = torch.device(setup.device)
    return Ensemble(
        members=tuple(prepare(parameters, device) for parameters in setup.model.members),
        tiles=CPU_TILES if device.type == "cpu" else GPU_TILES,
        threads=thread_count(device, setup.threads),
    )


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Networks whose logits are averaged.

    Attributes
    ----------
    members
        Networks on one device.
    tiles
        Sizes of the tiles.
    threads
        Number of tiles that are processed in parallel.
    time_layers
        Creates the time layers.
    """

    members: tuple[Network, ...]
    tiles: Tiles
    threads: int
    time_layers: TimeLayers = in_slices

    def __call__(self, spectrogram: LogSpectrogram, task: Task, /) -> Logits:
        """Run the members one after another."""
        frames = spectrogram.frames
        length, count = frames.shape[1], len(self.members)
        logits = frames.new_zeros(OUTPUTS, length)
        embeddings = None
        if task.embeddings:
            embeddings = frames.new_empty(INSTRUMENTS, length, CHANNELS, count)
        layers = spans(length, self.tiles.layers, self.threads)
        with running(self.threads) as each:
            for i, member in enumerate(self.members):

                def progress(part: float, done: int = i) -> None:
                    task.progress((done + part) / count)

                planes = self._blocks(member, frames, each, progress)
                each(partial(_add_logits, member, planes, logits), layers)
                if embeddings is not None:
                    each(partial(_embeddings, member, planes, embeddings[..., i]), layers)
            logits /= count
        if embeddings is not None and count == 1:
            embeddings = embeddings[..., 0]
        return Logits(logits[0], logits[1], logits[2], logits[3:], embeddings)

    def _blocks(
        self, network: Network, spectrogram: Tensor, each: Each, progress: Callable[[float], None]
    ) -> Tensor:
        """Output of the last block of a network, ``[24, 4T]``."""
        frames = spectrogram.shape[1]
        planes = spectrogram.new_empty(CHANNELS, INSTRUMENTS * frames)
        each(
            partial(embed, network.front_end, spectrogram, planes),
            spans(frames, self.tiles.front_end, self.threads),
        )
        progress(1 / (DEPTH + 1))

        scratch = torch.empty_like(planes)
        layers = spans(frames, self.tiles.layers, self.threads)
        pieces = [
            (part, position_table(network.instrument_position_bias, part, frames, planes))
            for part in blocks_of(frames)
        ]
        tiles = pieces_in_tiles(pieces, layers[0][1])
        time_layer = self.time_layers(planes, each, layers)
        for i, block in enumerate(network.blocks):
            time_layer(block, 1 << i, planes)
            each(partial(instrument_layer, block, i, planes, scratch), tiles)
            planes, scratch = scratch, planes
            progress((i + 2) / (DEPTH + 1))
        return planes


def _add_logits(network: Network, planes: Tensor, logits: Tensor, span: Span) -> None:
    first, end = span
    x = normalised(columns(planes, first, end)).view(CHANNELS, end - first, INSTRUMENTS)
    x = x.permute(2, 0, 1).reshape(INSTRUMENTS * CHANNELS, end - first)
    logits[:, first:end] += torch.addmm(network.heads_bias, network.heads, x)


def _embeddings(network: Network, planes: Tensor, out: Tensor, span: Span) -> None:
    first, end = span
    x = normalised(columns(planes, first, end)) * network.norm_gain + network.norm_bias
    out[:, first:end] = x.view(CHANNELS, end - first, INSTRUMENTS).permute(2, 1, 0)
