"""The parameters of the network, in the layout of the forward pass.

The network is that of Kim & Nam (WASPAA 2023, arXiv 2307.16425) as allin1 1.1.0 runs it. The core folds the parameters
(:mod:`allin1_core.reference.network_folding`).

Arrays are kept in dicts because ``mx.compile`` supports these as arguments, and the first axis of every array is the
member of the ensemble, so that one product computes all members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from allin1_core.contracts.audio import STEMS
from allin1_core.contracts.logits import EMBEDDING_SIZE
from allin1_core.contracts.model import Parameters
from allin1_core.reference import network_parameters as reference
from allin1_core.reference.network_folding import (
    HEAD_CHANNELS,
    FoldedAttention,
    FoldedLayer,
    FoldedNetwork,
    Map,
    fold_network,
)
from numpy.typing import NDArray

#: Blocks; the attention of block i is dilated 2**i-fold, and 2**(i+1)-fold.
DEPTH = reference.BLOCKS

#: Instruments: bass, drums, other, vocals.
INSTRUMENTS = len(STEMS)

#: Channels of a frame of one instrument.
CHANNELS = EMBEDDING_SIZE

#: Attention heads.
HEADS = reference.HEADS

#: Frames of a window of attention.
WINDOW = reference.WINDOW

#: Beat, downbeat, section, and the ten functions.
OUTPUTS = sum(reference.OUTPUTS.values())

#: Arrays by name, each ``[members, ...]``.
Arrays = dict[str, mx.array]

_Float64 = NDArray[np.float64]
_Folded = dict[str, _Float64]


@dataclass(frozen=True, eq=False)
class Network:
    """Networks of one shape.

    Attributes
    ----------
    front_end
        See :func:`_front_end`.
    time_layers, instrument_layers
        One per block; see :func:`_time_layer` and :func:`_instrument_layer`.
    heads
        See :func:`_heads`.
    """

    front_end: Arrays
    time_layers: tuple[Arrays, ...]
    instrument_layers: tuple[Arrays, ...]
    heads: Arrays

    def members(self, first: int, end: int) -> Network:
        """Return some of the networks."""

        def some(arrays: Arrays) -> Arrays:
            return {name: array[first:end] for name, array in arrays.items()}

        return Network(
            some(self.front_end),
            tuple(map(some, self.time_layers)),
            tuple(map(some, self.instrument_layers)),
            some(self.heads),
        )


def prepare(members: Sequence[Parameters]) -> Network:
    """Fold the parameters of all members and move them to MLX.

    Parameters
    ----------
    members
        float32, under the names of the original's state dict; convolution kernels laid out output,
        height (frames), width (bands), input.

    Raises
    ------
    WeightsError
        A parameter is missing or has the wrong shape.
    """
    folded = [fold_network(parameters) for parameters in members]
    network = Network(
        front_end=_stacked([_front_end(each) for each in folded]),
        time_layers=tuple(
            _stacked([_time_layer(each.blocks[i].time) for each in folded]) for i in range(DEPTH)
        ),
        instrument_layers=tuple(
            _stacked([_instrument_layer(each.blocks[i].instruments) for each in folded])
            for i in range(DEPTH)
        ),
        heads=_stacked([_heads(each) for each in folded]),
    )
    # Unevaluated arrays can only be evaluated by the thread that created them.
    mx.eval(network.front_end, network.time_layers, network.instrument_layers, network.heads)
    return network


def _stacked(members: Sequence[_Folded]) -> Arrays:
    return {
        name: mx.array(np.stack([member[name] for member in members]).astype(np.float32))
        for name in members[0]
    }


def _front_end(network: FoldedNetwork) -> _Folded:
    """Three convolutions as products.

    The three positions of a maximum are columns of one matrix: ``first`` ``[15, 36]`` takes 5 bands of 3 frames,
    ``second`` ``[168, 72]`` 14 bands of 12 channels, ``third`` ``[3, 120, 72]`` 5 bands of 24 channels for the previous,
    the current and the next frame. ``gain`` and ``bias`` are those of the LayerNorm at the end.
    """
    convolutions = network.plain.convolutions
    first, second, third = (each.kernel for each in convolutions)
    firsts, seconds = np.zeros((5, 3, 3, 12)), np.zeros((14, 12, 3, 24))
    thirds = np.zeros((3, 5, 24, 3, 24))
    for position in range(3):
        # Rows: band, then frame or channel. Columns: position, then channel.
        firsts[position : position + 3, :, position] = first[..., 0].transpose(2, 1, 0)
        seconds[position : position + 12, :, position] = second[:, 0].transpose(1, 2, 0)
        thirds[:, position : position + 3, :, position] = third.transpose(1, 2, 3, 0)
    first_bias, second_bias, third_bias = (each.bias.T for each in convolutions)
    return {
        "first": firsts.reshape(15, 36),
        "first_bias": first_bias,
        "second": seconds.reshape(168, 72),
        "second_bias": second_bias,
        "third": thirds.reshape(3, 120, 72),
        "third_bias": third_bias,
        "gain": network.plain.front_norm.gain.T,
        "bias": network.plain.front_norm.bias.T,
    }


def _time_layer(layer: FoldedLayer) -> _Folded:
    """Two attentions of an instrument's frames to one another, and an MLP on both results.

    ``projections`` ``[6, 24, 24]``: queries, keys, values of the first dilation, then of the second.
    ``position_biases`` ``[2, 5, 5, 2]``: dilation, number of steps by which the window starts before the query, key, head.
    ``outputs`` ``[2, 24, 24]``.
    """
    projections, position_biases, outputs = [], [], []
    for attention in layer.attentions:
        projections += _projections(attention)
        by_offset = attention.position_bias.T  # offset of the key from -4
        position_biases.append(
            np.stack([by_offset[4 - before : 9 - before] for before in range(5)])
        )
        outputs.append(_turned(attention.output))
    return {
        "projections": np.stack([weight for weight, _ in projections]),
        "projections_bias": np.stack([bias[None] for _, bias in projections]),
        "position_biases": np.stack(position_biases),
        "outputs": np.stack([weight for weight, _ in outputs]),
        "outputs_bias": np.stack([bias[None] for _, bias in outputs]),
        **_mlp(layer),
    }


def _instrument_layer(layer: FoldedLayer) -> _Folded:
    """Attention of instruments and neighbouring frames to one another, and an MLP.

    ``projections`` ``[6, 24, 12]``: queries of each head, keys of each, values of each. ``output`` ``[2, 12, 24]``. The
    tables are those of :func:`position_table` for the first two frames, for four in the middle, and for the last two.
    """
    (attention,) = layer.attentions
    projections, rpb = _projections(attention), attention.position_bias
    output, output_bias = _turned(attention.output)
    by_head = (HEADS, HEAD_CHANNELS)
    return {
        "projections": np.concatenate(
            [w.reshape(CHANNELS, *by_head).transpose(1, 0, 2) for w, _ in projections]
        ),
        "projections_bias": np.concatenate([b.reshape(*by_head)[:, None] for _, b in projections]),
        "table_first": position_table(rpb, [0, 1], [0, 0], 5),
        "table_middle": position_table(rpb, [2, 3, 4, 5], [0, 1, 2, 3], 8),
        "table_last": position_table(rpb, [3, 4], [0, 0], 5),
        "output": output.reshape(*by_head, CHANNELS),
        "output_bias": output_bias[None],
        **_mlp(layer),
    }


def position_table(
    position_bias: _Float64, queries: Sequence[int], starts: Sequence[int], keys: int
) -> _Float64:
    """Arrange the position biases of a few queries over a run of keys.

    Parameters
    ----------
    position_bias
        ``[head, 9, 9]``, by the offset of the key's instrument and of its frame from -4.
    queries
        Frame of each query, relative to the first key frame.
    starts
        Start of the window of each query.
    keys
        Number of frames of keys.

    Returns
    -------
    ndarray
        ``[head, 1, queries * 4, keys * 4 + 1]``; minus infinity outside the window. The last column represents
        the fifth instrument, of zeros, that the original pads with: the log of the sum of its exponentials.
    """
    by_instrument = np.arange(WINDOW) - np.arange(INSTRUMENTS)[:, None] + 4
    scores = np.full((HEADS, len(queries), INSTRUMENTS, keys, INSTRUMENTS), -np.inf)
    zeros = np.empty((HEADS, len(queries), INSTRUMENTS, 1))
    for i, (query, start) in enumerate(zip(queries, starts, strict=True)):
        window = np.arange(start, start + WINDOW)
        # [head, query's instrument, key's frame, key's instrument]
        bias = position_bias[:, by_instrument[:, None, :], (window - query + 4)[None, :, None]]
        scores[:, i, :, window] = bias[..., :INSTRUMENTS].transpose(2, 0, 1, 3)
        zeros[:, i, :, 0] = np.log(np.exp(bias[..., INSTRUMENTS]).sum(-1))
    rows = (HEADS, 1, len(queries) * INSTRUMENTS)
    return np.concatenate([scores.reshape(*rows, -1), zeros.reshape(*rows, 1)], axis=-1)


def _turned(linear: Map) -> tuple[_Float64, _Float64]:
    """Matrix ``[inputs, outputs]`` and bias."""
    return linear.weight.T, linear.bias


def _projections(attention: FoldedAttention) -> list[tuple[_Float64, _Float64]]:
    """Queries, keys and values; the last two without their own biases."""
    return [_turned(part) for part in (attention.query, attention.key, attention.value)]


def _mlp(layer: FoldedLayer) -> _Folded:
    """Two linear maps with a GELU in between."""
    up, up_bias = _turned(layer.up)
    down, down_bias = _turned(layer.down)
    return {"up": up, "up_bias": up_bias[None], "down": down, "down_bias": down_bias[None]}


def _heads(network: FoldedNetwork) -> _Folded:
    """The last LayerNorm's ``gain`` and ``bias``, and all outputs as one matrix ``[96, 13]`` after it."""
    norm = network.plain.norm
    weight, bias = _turned(network.heads)
    return {"gain": norm.gain.T, "bias": norm.bias.T, "weight": weight, "weight_bias": bias[None]}
