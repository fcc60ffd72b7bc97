"""The stage ``nn`` in NumPy: the All-In-One network, and the reference for every faster implementation.

Kim & Nam, *All-In-One Metrical and Functional Structure Analysis with Neighborhood Attentions on Demixed Audio*, WASPAA
2023, as run by mir-aidj/all-in-one 1.1.0 with NATTEN 0.17. A song of T frames is a state ``[4 instruments, 24 channels,
T]``, which convolutions create and 11 blocks update. Each block has a time layer, in which each instrument attends to
its own past and future at two dilations, and an instrument layer, in which every instrument attends to all. Linear
heads compute the logits from the last state.

Frames are processed in tiles, so that besides the state, only the keys and values of one layer have the length of the
song: 0.7 GB for an hour.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from numpy.typing import DTypeLike

from allin1_core.contracts.audio import STEMS
from allin1_core.contracts.logits import EMBEDDING_SIZE, Logits
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.contracts.stages import Nn, Setup, Task
from allin1_core.errors import WeightsError
from allin1_core.reference.network_attention import attend_across_instruments, attend_in_time
from allin1_core.reference.network_front import embed
from allin1_core.reference.network_layers import apply, feed_forward, normalise
from allin1_core.reference.network_parameters import (
    BLOCKS,
    HEADS,
    OUTPUTS,
    WINDOW,
    Affine,
    Attention,
    Floats,
    Layer,
    Network,
    read_network,
)

#: Number of frames in a tile.
TILE = 1024

#: Passes over a song for each member: front end, two for each of the two layers of a block, heads.
PASSES = 2 + 4 * BLOCKS

#: Minimum seconds between two progress reports.
REPORT_INTERVAL_S = 0.1

#: Processes the frames from the first number up to the second.
TileWork = Callable[[int, int], None]
#: Performs a piece of work on every tile of the song.
EachTile = Callable[[TileWork], None]


def create(setup: Setup, *, dtype: DTypeLike = np.float32) -> Nn:
    """Prepare the network.

    Parameters
    ----------
    setup
        `model` and `threads` are used: the number of tiles to process at once, by default one per CPU.
    dtype
        Floating-point type of the computation and the output. The pipeline uses float32; tests also use float64.

    Raises
    ------
    WeightsError
        No model was given, or a parameter is missing or has the wrong shape.
    """
    if setup.model is None or not setup.model.members:
        raise WeightsError(
            "The network was given no parameters.", remedy="Choose a model with weights."
        )
    networks = [read_network(parameters, dtype) for parameters in setup.model.members]
    threads = setup.threads or os.cpu_count() or 1

    def run(spectrogram: LogSpectrogram, task: Task, /) -> Logits:
        frames = np.asarray(spectrogram.frames)
        length = frames.shape[1]
        logits = np.zeros((sum(OUTPUTS.values()), length), dtype)
        embeddings = None
        if task.embeddings:
            embeddings = np.empty((len(STEMS), length, EMBEDDING_SIZE, len(networks)), dtype)
        with _tiles(length, threads, PASSES * len(networks), task.progress) as each_tile:
            for member, network in enumerate(networks):
                of_member = None if embeddings is None else embeddings[..., member]
                _add_logits(network, frames, logits, of_member, each_tile)
        logits /= len(networks)
        if embeddings is not None and len(networks) == 1:
            embeddings = embeddings[..., 0]
        beat, downbeat, section = logits[:3]
        return Logits(beat, downbeat, section, logits[3:], embeddings)

    return run


def _add_logits(
    network: Network,
    spectrogram: Floats,
    logits: Floats,
    embeddings: Floats | None,
    each_tile: EachTile,
) -> None:
    """Add the output of `network` to `logits` ``[13, T]``, and write its embeddings if requested."""
    state = np.empty((len(STEMS), EMBEDDING_SIZE, spectrogram.shape[1]), logits.dtype)

    def start_state(start: int, stop: int) -> None:
        state[..., start:stop] = embed(network, spectrogram, start, stop)

    def finish(start: int, stop: int) -> None:
        final = normalise(network.norm, state[..., start:stop])
        logits[:, start:stop] += apply(network.heads, final.reshape(-1, stop - start))
        if embeddings is not None:
            embeddings[:, start:stop] = final.transpose(0, 2, 1)

    each_tile(start_state)
    for block in network.blocks:
        _time_layer(block.time, block.dilation, state, each_tile)
        _instrument_layer(block.instruments, state, each_tile)
    each_tile(finish)


def _time_layer(layer: Layer, dilation: int, state: Floats, each_tile: EachTile) -> None:
    """Update `state` with two attentions in time, the second at twice the dilation of the first."""
    dilations = (dilation, 2 * dilation)
    shape = (len(STEMS), max(state.shape[-1], WINDOW * dilations[-1]))
    keys = [_padding(attention.key, state, shape) for attention in layer.attentions]
    values = [_padding(attention.value, state, shape) for attention in layer.attentions]

    def project(start: int, stop: int) -> None:
        y = normalise(layer.before, state[..., start:stop])
        for attention, k, v in zip(layer.attentions, keys, values, strict=True):
            k[..., start:stop] = apply(attention.key, y)
            v[..., start:stop] = apply(attention.value, y)

    def update(start: int, stop: int) -> None:
        x = state[..., start:stop]
        y = normalise(layer.before, x)
        branches = []
        for attention, k, v, d in zip(layer.attentions, keys, values, dilations, strict=True):
            context = attend_in_time(_query(attention, y), k, v, attention.position_bias, d, start)
            branches.append(x + apply(attention.output, context))
        mean = (branches[0] + branches[1]) / 2
        x[...] = mean + feed_forward(layer, np.concatenate(branches, axis=1))

    each_tile(project)
    each_tile(update)


def _instrument_layer(layer: Layer, state: Floats, each_tile: EachTile) -> None:
    """Update `state` with an attention across instruments, padded by one instrument to fill the window."""
    (attention,) = layer.attentions
    shape = (WINDOW, max(state.shape[-1], WINDOW))
    keys = _padding(attention.key, state, shape)
    values = _padding(attention.value, state, shape)

    def project(start: int, stop: int) -> None:
        y = normalise(layer.before, state[..., start:stop])
        keys[: len(STEMS), :, start:stop] = apply(attention.key, y)
        values[: len(STEMS), :, start:stop] = apply(attention.value, y)

    def update(start: int, stop: int) -> None:
        x = state[..., start:stop]
        query = _query(attention, normalise(layer.before, x))
        context = attend_across_instruments(query, keys, values, attention.position_bias, start)
        h = x + apply(attention.output, context)
        x[...] = h + feed_forward(layer, h)

    each_tile(project)
    each_tile(update)


def _padding(projection: Affine, state: Floats, shape: tuple[int, int]) -> Floats:
    """Keys or values for `shape` instruments and frames, filled in where `state` has none.

    Upstream pads with zeros between the LayerNorm and the projections, so the projection there equals its bias, and
    queries attend to the padding as to anything else.
    """
    instruments, _, frames = state.shape
    plane = np.empty((shape[0], EMBEDDING_SIZE, shape[1]), state.dtype)
    plane[instruments:] = projection.bias
    plane[..., frames:] = projection.bias
    return plane


def _query(attention: Attention, y: Floats) -> Floats:
    query = apply(attention.query, y)
    query /= math.sqrt(EMBEDDING_SIZE // HEADS)
    return query


@contextmanager
def _tiles(
    length: int, threads: int, passes: int, progress: Callable[[float], None]
) -> Iterator[EachTile]:
    """Yield a function that performs a piece of work on all tiles of a song, and waits for the last.

    Progress is reported as if it were called `passes` times.
    """
    starts = range(0, length, TILE)
    done = 0
    reported_at = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:

        def each_tile(work: TileWork) -> None:
            nonlocal done, reported_at
            # If `progress` raises an exception, leaving the loop cancels the tiles that have not been started.
            for _ in pool.map(lambda start: work(start, min(start + TILE, length)), starts):
                done += 1
                if time.monotonic() - reported_at >= REPORT_INTERVAL_S:
                    progress(done / (passes * len(starts)))
                    reported_at = time.monotonic()

        yield each_tile
    progress(1.0)
