"""The instrument layer: instruments and neighbouring frames attend to one another.

A query attends to five frames, centred on its own and shifted (not padded) at the ends, of five instruments:
the four, and one of zeros that the original pads them with. Four frames together attend to a run of eight, so
the middle of a song is a batch of small dense products of 16 queries and 32 keys, with minus infinity in
the table of position biases for keys outside the query's window. The two frames at the start and the two to
five at the end are separate blocks, and a song of fewer than eight frames is a single block.

The keys and values of the fifth instrument, and of the frames that songs of fewer than five are padded with, are
zero: only their position biases matter, as a constant in the denominator of the softmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from allin1_core.reference.network_folding import HEAD_CHANNELS
from numpy.typing import NDArray
from torch import Tensor

from allin1_backend_torch.network_parameters import CHANNELS, Block
from allin1_backend_torch.network_planes import (
    INSTRUMENTS,
    add_mlp,
    columns,
    normalised_with_ones,
)

#: Number of frames in a block of the middle part.
_BLOCK = 4

#: Number of frames in a window.
_WINDOW = 5


@dataclass(frozen=True)
class Blocks:
    """Consecutive blocks of equal size.

    Attributes
    ----------
    first
        First query frame of the first block.
    count
        Number of blocks.
    queries
        Number of query frames per block.
    lead
        Number of frames from the first key to the first query of a block.
    keys
        Number of key frames per block.
    """

    first: int
    count: int
    queries: int
    lead: int
    keys: int

    @property
    def end(self) -> int:
        """Frame after the last query."""
        return self.first + self.count * self.queries

    @property
    def first_key(self) -> int:
        """First key frame of the first block."""
        return self.first - self.lead

    @property
    def end_key(self) -> int:
        """Frame after the last key."""
        return self.first_key + (self.count - 1) * self.queries + self.keys


def blocks_of(frames: int) -> tuple[Blocks, ...]:
    """Blocks that cover a song, in order."""
    if frames < _BLOCK + 4:
        return (Blocks(0, 1, frames, 0, frames),)
    middle = Blocks(2, (frames - 4) // _BLOCK, _BLOCK, 2, _BLOCK + 4)
    rest = frames - middle.end
    keys = max(rest + 2, _WINDOW)
    return Blocks(0, 1, 2, 0, _WINDOW), middle, Blocks(middle.end, 1, rest, keys - rest, keys)


@dataclass(frozen=True, eq=False)
class Table:
    """Position biases of a block's queries and keys, for all layers.

    Attributes
    ----------
    scores
        ``[layers, head, queries * 4, keys * 4]``; minus infinity outside the window.
    zeros
        ``[layers, head, queries * 4, 1]``: log of the sum of the exponentials of the scores of keys that are zero.
    """

    scores: Tensor
    zeros: Tensor


def position_table(
    position_bias: NDArray[np.float64], blocks: Blocks, frames: int, like: Tensor
) -> Table:
    """Arrange the position biases for a block.

    Parameters
    ----------
    position_bias
        ``[layers, head, 9, 9]``, by the offset of the key's instrument and of its frame from -4.
    blocks
        The queries and keys.
    frames
        Number of frames of the song.
    like
        Tensor whose type and device the table gets.
    """
    queries = blocks.first + np.arange(blocks.queries)
    starts = np.clip(queries - 2, 0, max(frames, _WINDOW) - _WINDOW)
    windows = starts[:, None] + np.arange(_WINDOW)
    by_instrument = np.arange(_WINDOW) - np.arange(INSTRUMENTS)[:, None] + 4
    by_frame = windows - queries[:, None] + 4
    # [layer, head, query frame, query instrument, key frame, key instrument]
    bias = position_bias[:, :, by_instrument[None, :, None, :], by_frame[:, None, :, None]]
    layers, heads = position_bias.shape[:2]
    scores = np.full(
        (layers, heads, blocks.queries, INSTRUMENTS, blocks.keys, INSTRUMENTS), -np.inf
    )
    zeros = np.exp(bias[..., INSTRUMENTS]).sum(-1)
    first_key = blocks.first - blocks.lead
    for i, window in enumerate(windows):
        real = window < frames
        scores[:, :, i][:, :, :, window[real] - first_key] = bias[:, :, i][..., real, :INSTRUMENTS]
        zeros[:, :, i] += np.exp(bias[:, :, i][..., ~real, :INSTRUMENTS]).sum((-1, -2))

    def tensor(values: NDArray[np.float64], columns: int) -> Tensor:
        shape = (layers, heads, blocks.queries * INSTRUMENTS, columns)
        return torch.from_numpy(values.reshape(shape)).to(like.dtype).to(like.device)

    return Table(tensor(scores, blocks.keys * INSTRUMENTS), tensor(np.log(zeros), 1))


#: Blocks with their table.
Piece = tuple[Blocks, Table]


def pieces_in_tiles(pieces: Sequence[Piece], tile: int) -> list[list[Piece]]:
    """Split the middle of a song into parts of about `tile` frames; the ends belong to their neighbours."""
    if len(pieces) == 1:
        return [list(pieces)]
    head, (middle, table), tail = pieces
    most = max(1, tile // _BLOCK)
    tiles: list[list[Piece]] = []
    for done in range(0, middle.count, most):
        count = min(most, middle.count - done)
        part = replace(middle, first=middle.first + done * _BLOCK, count=count)
        tiles.append([(part, table)])
    tiles[0].insert(0, head)
    tiles[-1].append(tail)
    return tiles


def instrument_layer(
    block: Block, layer: int, planes: Tensor, out: Tensor, tile: list[Piece]
) -> None:
    """Apply the instrument layer to a tile of `planes`, and write the result to `out`.

    Parameters
    ----------
    block
        Parameters of the block.
    layer
        Index of the layer, to find its position biases.
    planes, out
        float32 ``[24, 4T]``.
    tile
        One of those that :func:`pieces_in_tiles` returns.
    """
    first, end = tile[0][0].first, tile[-1][0].end
    low = min(blocks.first_key for blocks, _ in tile)
    high = max(blocks.end_key for blocks, _ in tile)
    # A product with the transposed operand results in rows; those of a block are consecutive.
    rows = normalised_with_ones(columns(planes, low, high)).t() @ block.instrument_attention.rows
    context = planes.new_empty(INSTRUMENTS * (end - first), CHANNELS)
    for blocks, table in tile:
        part = context[INSTRUMENTS * (blocks.first - first) : INSTRUMENTS * (blocks.end - first)]
        _attend(blocks, table, layer, rows, low, part)
    h = columns(out, first, end)
    torch.add(columns(planes, first, end), block.instrument_attention.output_bias, out=h)
    h.addmm_(block.instrument_attention.output, context.t())
    add_mlp(block.instrument_mlp, h, h)


def _attend(
    blocks: Blocks, table: Table, layer: int, rows: Tensor, first_row_frame: int, out: Tensor
) -> None:
    """Attention of all blocks at once, from the `rows` of frames `first_row_frame` and on.

    `out` is ``[rows of the queries, 24]``.
    """
    width = rows.stride(0)
    row = INSTRUMENTS * width
    first_query = (blocks.first - first_row_frame) * row
    first_key = (blocks.first_key - first_row_frame) * row
    queries, keys = INSTRUMENTS * blocks.queries, INSTRUMENTS * blocks.keys
    step = blocks.queries * row
    for head in range(2):
        own = HEAD_CHANNELS * head
        q = rows.as_strided(
            (blocks.count, queries, HEAD_CHANNELS), (step, width, 1), first_query + own
        )
        k = rows.as_strided(
            (blocks.count, HEAD_CHANNELS, keys), (step, 1, width), first_key + CHANNELS + own
        )
        v = rows.as_strided(
            (blocks.count, keys, HEAD_CHANNELS + 1),
            (step, width, 1),
            first_key + 2 * CHANNELS + (HEAD_CHANNELS + 1) * head,
        )
        scores = torch.baddbmm(table.scores[layer, head], q, k)
        zeros = table.zeros[layer, head]
        largest = torch.maximum(scores.amax(-1, keepdim=True), zeros)
        sums = torch.bmm(scores.sub_(largest).exp_(), v)  # the last column sums the exponentials
        total = sums[..., HEAD_CHANNELS:] + (zeros - largest).exp_()
        torch.div(
            sums[..., :HEAD_CHANNELS],
            total,
            out=out.view(blocks.count, queries, CHANNELS)[..., own : own + HEAD_CHANNELS],
        )
