"""The time layer: each instrument's frames attend to five of their neighbours, at two dilations.

The window of five is centred on its query and shifted (not padded) at the ends of the song; with a
dilation of d, it has every d-th frame. So a query's keys start 0, 1, 2, 3 or 4 steps of d before it,
which depends only on the position of the query: in  [0, d), [d, 2d), the middle, [T'-2d, T'-d) or
[T'-d, T'), where T' is the length with the original's padding. In each of these ranges all keys are slices.

The end of the song is only known at run time: arrays are longer than the song, so that songs of similar length share
a compiled graph. The two ranges at the end are therefore computed from slices with a variable start, and
overwrite the output of the range in the middle.
"""

from __future__ import annotations

from functools import reduce

import mlx.core as mx
from allin1_core.reference.network_folding import HEAD_CHANNELS

from allin1_backend_mlx.network_layers import mlp, normalised, rows
from allin1_backend_mlx.network_parameters import (
    CHANNELS,
    HEADS,
    WINDOW,
    Arrays,
)


def time_layer(x: mx.array, length: mx.array, p: Arrays, dilation: int) -> mx.array:
    """Apply the time layer.

    Parameters
    ----------
    x
        float32 ``[members, frames, 4, 24]``; values after the song are arbitrary.
    length
        Number of frames of the song, at most that of `x`.
    p
        Parameters, from :attr:`~allin1_backend_mlx.network_parameters.Network.time_layers`.
    dilation
        Dilation of the first attention; that of the second is twice as large.
    """
    members, frames, instruments, _ = x.shape
    flat = (members, frames * instruments, CHANNELS)
    operand = normalised(x).reshape(members, 1, frames * instruments, CHANNELS)
    projected = operand @ p["projections"] + p["projections_bias"]
    projected = projected.reshape(members, 6, *x.shape[1:])
    # The original pads with zeros; see network_parameters.
    inside = (mx.arange(frames) < length)[:, None, None]
    both = []
    for i in range(2):
        context = attend_in_windows(
            projected[:, 3 * i],
            mx.where(inside, projected[:, 3 * i + 1], 0.0),
            mx.where(inside, projected[:, 3 * i + 2], 0.0),
            p["position_biases"][:, i],
            step=dilation << i,
            length=length,
            least=10 * dilation,
        )
        both.append(x + _linear(context.reshape(flat), p, i).reshape(x.shape))
    rest = mlp(mx.concatenate(both, axis=-1).reshape(*flat[:2], 2 * CHANNELS), p)
    return 0.5 * (both[0] + both[1]) + rest.reshape(x.shape)


def _linear(x: mx.array, p: Arrays, i: int) -> mx.array:
    return mx.addmm(p["outputs_bias"][:, i], x, p["outputs"][:, i])


def attend_in_windows(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    bias: mx.array,
    *,
    step: int,
    length: mx.array,
    least: int,
) -> mx.array:
    """Attention of all frames over windows of five keys.

    Parameters
    ----------
    queries, keys, values
        ``[members, frames, 4, 24]``; keys and values are zero after the song.
    bias
        ``[members, 5, 5, 2]``: number of steps by which the window starts before the query, key, head.
    step
        Distance of keys in frames.
    length
        Number of frames of the song, at most that of the arrays.
    least
        Minimum length, which the original pads shorter songs to; at least five steps.
    """
    frames = queries.shape[1]
    parts = []
    for before, first, count in (
        (0, 0, min(step, frames)),
        (1, step, min(step, frames - step)),
        (2, 2 * step, frames - 2 * step),
    ):
        if count > 0:
            start = first - before * step
            parts.append(
                _attend(
                    rows(queries, 1, first, count),
                    [rows(keys, 1, start + i * step, count) for i in range(WINDOW)],
                    [rows(values, 1, start + i * step, count) for i in range(WINDOW)],
                    bias[:, before],
                )
            )
    context = mx.concatenate(parts, axis=1)
    if frames <= least - 2 * step:
        return context  # the end is in the padding
    # The last two steps of queries share their keys, the last five steps.
    total = max(frames, least)
    padded_length = mx.maximum(length, least)
    queries, keys, values, context = (
        rows(array, 1, 0, total) for array in (queries, keys, values, context)
    )
    first_query = padded_length - 2 * step
    queries = _from(queries, first_query, 2 * step)
    keys, values = (_from(array, padded_length - 5 * step, 5 * step) for array in (keys, values))
    last = mx.concatenate(
        [
            _attend(
                rows(queries, 1, i * step, step),
                [rows(keys, 1, j * step, step) for j in range(WINDOW)],
                [rows(values, 1, j * step, step) for j in range(WINDOW)],
                bias[:, 3 + i],
            )
            for i in range(2)
        ],
        axis=1,
    )
    return mx.slice_update(context, last, first_query, (1,))[:, :frames]


def _from(x: mx.array, start: mx.array, count: int) -> mx.array:
    """Return `count` frames from a start that is only known at run time."""
    return mx.slice(x, start, (1,), (x.shape[0], count, *x.shape[2:]))


def _attend(
    queries: mx.array, keys: list[mx.array], values: list[mx.array], bias: mx.array
) -> mx.array:
    """Attention of queries to five keys each, all ``[members, n, 4, 24]``; `bias` is ``[members, 5, 2]``."""
    heads = (*queries.shape[:3], HEADS, HEAD_CHANNELS)
    scores = [
        (queries * key).reshape(heads).sum(-1) + bias[:, i, None, None]
        for i, key in enumerate(keys)
    ]
    largest = reduce(mx.maximum, scores)
    weights = [mx.exp(score - largest) for score in scores]
    total = sum(weights[1:], weights[0])
    products = [
        (weight / total)[..., None] * value.reshape(heads)
        for weight, value in zip(weights, values, strict=True)
    ]
    return sum(products[1:], products[0]).reshape(queries.shape)
