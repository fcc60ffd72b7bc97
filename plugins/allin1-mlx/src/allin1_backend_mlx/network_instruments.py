"""The instrument layer: instruments and neighbouring frames attend to one another.

A query attends to five frames, centred on its own and shifted (not padded) at the ends, of five instruments:
the four, and one of zeros that the original pads them with. Four frames together attend to a run of eight, so
the middle of a song is a batch of small dense products of 16 queries and 32 keys, with minus infinity in
the table of position biases for keys outside the query's window. The first two frames and the last two
are separate products.

The fifth instrument is represented by one more key and value of zeros, whose position bias combines its five.
"""

from __future__ import annotations

import mlx.core as mx
from allin1_core.reference.network_folding import HEAD_CHANNELS

from allin1_backend_mlx.network_layers import mlp, normalised, rows
from allin1_backend_mlx.network_parameters import (
    CHANNELS,
    HEADS,
    INSTRUMENTS,
    WINDOW,
    Arrays,
)

#: Number of frames in a block of the middle part.
_BLOCK = 4


def instrument_layer(x: mx.array, length: mx.array, p: Arrays) -> mx.array:
    """Apply the instrument layer.

    Parameters
    ----------
    x
        float32 ``[members, frames, 4, 24]``, at least five frames; values after the song are arbitrary.
    length
        Number of frames of the song.
    p
        Parameters, from :attr:`~allin1_backend_mlx.network_parameters.Network.instrument_layers`.
    """
    members, frames = x.shape[:2]
    operand = normalised(x).reshape(members, 1, frames * INSTRUMENTS, CHANNELS)
    projected = operand @ p["projections"] + p["projections_bias"]
    # Rows of a frame are its instruments; [members, head, frames, 4 * 12].
    projected = projected.reshape(members, 3, HEADS, frames, INSTRUMENTS * HEAD_CHANNELS)
    inside = (mx.arange(frames) < length)[:, None]
    queries = projected[:, 0]
    keys, values = (mx.where(inside, projected[:, i], 0.0) for i in (1, 2))

    context = mx.concatenate(
        [
            _attend(
                queries[:, :, None, :2],
                keys[:, :, None, :WINDOW],
                values[:, :, None, :WINDOW],
                p["table_first"],
            ),
            _middle(queries, keys, values, p["table_middle"]),
        ],
        axis=2,
    )[:, :, :frames]
    padded_length = mx.maximum(length, WINDOW)
    last = _attend(
        _from(queries, padded_length - 2, 2)[:, :, None],
        _from(keys, padded_length - WINDOW, WINDOW)[:, :, None],
        _from(values, padded_length - WINDOW, WINDOW)[:, :, None],
        p["table_last"],
    )
    context = mx.slice_update(context, last, padded_length - 2, (2,))

    context = context.reshape(members, HEADS, frames * INSTRUMENTS, HEAD_CHANNELS)
    flat = x.reshape(members, frames * INSTRUMENTS, CHANNELS)
    h = flat + (context @ p["output"]).sum(1) + p["output_bias"]
    return (h + mlp(h, p)).reshape(x.shape)


def _middle(queries: mx.array, keys: mx.array, values: mx.array, table: mx.array) -> mx.array:
    """All frames except the first two, in blocks; values after the end are meaningless."""
    members, _, frames, width = queries.shape
    count = -(-(frames - 2) // _BLOCK)
    blocks = (members, HEADS, count, _BLOCK, width)
    queries = rows(queries, 2, 2, count * _BLOCK).reshape(blocks)

    def overlapping(array: mx.array) -> mx.array:
        array = rows(array, 2, 0, (count + 1) * _BLOCK)
        array = array.reshape(members, HEADS, count + 1, _BLOCK, width)
        return mx.concatenate([array[:, :, :-1], array[:, :, 1:]], axis=3)

    return _attend(queries, overlapping(keys), overlapping(values), table)


def _attend(queries: mx.array, keys: mx.array, values: mx.array, table: mx.array) -> mx.array:
    """Attention within blocks, ``[members, head, blocks, frames, 48]``, to ``[members, head, frames, 48]``."""
    members, heads, count, query_frames, width = queries.shape
    zeros = mx.zeros((members, heads, count, 1, HEAD_CHANNELS))
    by_row = (members, heads, count, -1, HEAD_CHANNELS)
    keys = mx.concatenate([keys.reshape(by_row), zeros], axis=3)
    values = mx.concatenate([values.reshape(by_row), zeros], axis=3)
    scores = queries.reshape(by_row) @ keys.swapaxes(-1, -2) + table
    context = mx.softmax(scores, axis=-1, precise=True) @ values
    return context.reshape(members, heads, count * query_frames, width)


def _from(x: mx.array, start: mx.array, count: int) -> mx.array:
    """Return `count` frames from a start that is only known at run time."""
    return mx.slice(x, start, (2,), (*x.shape[:2], count, x.shape[3]))
