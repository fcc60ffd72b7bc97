"""The time layer: each instrument's frames attend to five of their neighbours, at two dilations.

The window of five is centred on its query and shifted (not padded) at the ends of the song; with a
dilation of d, it has every d-th frame. So a query's keys start 0, 1, 2, 3 or 4 steps of d before it,
which depends only on the position of the query: in  [0, d), [d, 2d), the middle, [T'-2d, T'-d) or
[T'-d, T'), where T' is the length with padding. In each of these ranges all keys are slices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from allin1_core.reference.network_folding import HEAD_CHANNELS
from torch import Tensor

from allin1_backend_torch.network_parameters import CHANNELS, DEPTH, Block
from allin1_backend_torch.network_planes import (
    INSTRUMENTS,
    add_mlp,
    columns,
    normalised_with_ones,
)
from allin1_backend_torch.running import Each, Span

#: Applies the time layer of a block, with this first dilation, to ``[24, 4T]``, in place.
TimeLayer = Callable[[Block, int, Tensor], None]

#: Creates the time layers for a song, from planes of its length and type, and a function to distribute its spans.
TimeLayers = Callable[[Tensor, Each, Sequence[Span]], TimeLayer]


def padded_length(frames: int, dilation: int) -> int:
    """Number of frames that the original pads a song to, for a layer with this first dilation."""
    return max(frames, 10 * dilation)


def in_slices(like: Tensor, each: Each, spans: Sequence[Span]) -> TimeLayer:
    """Create the time layers whose keys are all slices."""
    longest = padded_length(like.shape[1] // INSTRUMENTS, 1 << (DEPTH - 1))
    keys_values = like.new_zeros(4 * CHANNELS, INSTRUMENTS * longest)

    def apply(block: Block, dilation: int, planes: Tensor) -> None:
        each(partial(project_keys_values, block, planes, keys_values), spans)
        each(partial(time_layer, block, dilation, planes, keys_values), spans)

    return apply


def project_keys_values(block: Block, planes: Tensor, keys_values: Tensor, span: Span) -> None:
    """Fill some frames of `keys_values`.

    Parameters
    ----------
    block
        Parameters of the block.
    planes
        float32 ``[24, 4T]``.
    keys_values
        float32 ``[96, 4 * padded length]`` or longer; zeros after the song are kept.
    span
        Frames to fill.
    """
    first, end = span
    operand = normalised_with_ones(columns(planes, first, end))
    torch.mm(block.time_attentions.keys_values, operand, out=columns(keys_values, first, end))


def time_layer(
    block: Block, dilation: int, planes: Tensor, keys_values: Tensor, span: Span
) -> None:
    """Apply the time layer to some frames of `planes`, in place.

    Parameters
    ----------
    block
        Parameters of the block.
    dilation
        Dilation of the first attention; that of the second is twice as large.
    planes
        float32 ``[24, 4T]``; only these frames are read.
    keys_values
        Keys and values of the whole song, from :func:`project_keys_values`.
    span
        Frames to process.
    """
    first, end = span
    padded = padded_length(planes.shape[1] // INSTRUMENTS, dilation)
    x = columns(planes, first, end)
    attentions = block.time_attentions
    queries = attentions.queries @ normalised_with_ones(x)
    contexts = torch.empty_like(queries)
    for i, bias in enumerate(attentions.position_biases):
        step = dilation << i
        limits = (0, step, 2 * step, padded - 2 * step, padded - step, padded)
        own = slice(i * CHANNELS, (i + 1) * CHANNELS)
        for before in range(5):
            low, high = max(limits[before], first), min(limits[before + 1], end)
            if low < high:
                _attend(
                    columns(queries[own], low - first, high - first),
                    keys_values[2 * i * CHANNELS :],
                    INSTRUMENTS * (low - before * step),
                    INSTRUMENTS * step,
                    bias[before],
                    columns(contexts[own], low - first, high - first),
                )
    add_contexts(block, contexts, x)


def add_contexts(block: Block, contexts: Tensor, x: Tensor) -> None:
    """Apply the output matrix of the attentions, and the MLP.

    Parameters
    ----------
    block
        Parameters of the block.
    contexts
        float32 ``[48, columns]``, of both dilations.
    x
        float32 ``[24, columns]``: the input of the layer, replaced by its output.
    """
    attentions = block.time_attentions
    both = torch.addmm(attentions.output_bias, attentions.output, contexts)
    both.view(2, CHANNELS, -1).add_(x)
    torch.add(both[:CHANNELS], both[CHANNELS:], out=x).mul_(0.5)
    add_mlp(block.time_mlp, both, x)


def _attend(
    queries: Tensor, keys_values: Tensor, start: int, step: int, bias: Tensor, out: Tensor
) -> None:
    """Attention of queries whose five keys start at column `start`, `step` columns apart."""
    length = queries.shape[1]
    row = keys_values.stride(0)
    shape, strides = (5, CHANNELS, length), (step, row, 1)
    offset = keys_values.storage_offset() + start
    keys = keys_values.as_strided(shape, strides, offset)
    values = keys_values.as_strided(shape, strides, offset + CHANNELS * row)
    heads = (5, 2, HEAD_CHANNELS, length)
    scores = (queries * keys).view(heads).sum(2).add_(bias)
    weights = scores.softmax(0)
    products = weights.unsqueeze(2) * values.view(heads)
    torch.sum(products, 0, out=out.view(2, HEAD_CHANNELS, length))
