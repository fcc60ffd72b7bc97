"""The network's parameters, rearranged once so that the forward pass is short.

The network is that of Kim & Nam (WASPAA 2023, arXiv 2307.16425) as allin1 1.1.0 runs it. Everything is
folded in float64 and then rounded to float32. What is folded, and why the outputs stay the same:

* LayerNorm's gain and bias go into the matrix that follows.
* 1/sqrt(12) goes into the queries.
* A key's bias adds the same number to all scores of a query, which softmax ignores. A value's bias comes
  out of the attention unchanged, because weights sum to 1, and so joins the output bias. (LayerNorm's own
  bias, seen through the key and value matrices, stays.)
* The original pads with zeros *after* the LayerNorm, and lets real frames attend to the padding. With both
  biases gone, the keys and values of padding are zeros.

Arrays are kept in dicts because that is what ``mx.compile`` passes through, and every array's first axis is the
member of the ensemble, so that one product serves all members.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from allin1_core.contracts.model import Parameters
from allin1_core.errors import WeightsError
from numpy.typing import NDArray

#: Blocks; the attention of block i is dilated 2**i-fold, and 2**(i+1)-fold.
DEPTH = 11

#: Instruments: bass, drums, other, vocals.
INSTRUMENTS = 4

#: Channels of a frame of one instrument.
CHANNELS = 24

#: Attention heads, and the channels of each.
HEADS, HEAD_CHANNELS = 2, 12

#: Frames of a window of attention.
WINDOW = 5

#: Beat, downbeat, section, and the ten functions.
OUTPUTS = 13

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
        One for each block; see :func:`_time_layer` and :func:`_instrument_layer`.
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
    """Fold the parameters of all members and bring them to MLX.

    Parameters
    ----------
    members
        float32, under the names of the original's state dict; convolution kernels laid out output,
        height (frames), width (bands), input.

    Raises
    ------
    WeightsError
        If a parameter is missing or has another shape than this network's.
    """
    sources = [_Source(parameters) for parameters in members]
    layers = [f"encoder.layers.{i}." for i in range(DEPTH)]
    network = Network(
        front_end=_stacked([_front_end(source) for source in sources]),
        time_layers=tuple(
            _stacked([_time_layer(source, name + "timelayer.") for source in sources])
            for name in layers
        ),
        instrument_layers=tuple(
            _stacked([_instrument_layer(source, name + "instlayer.") for source in sources])
            for name in layers
        ),
        heads=_stacked([_heads(source) for source in sources]),
    )
    # An array that is not computed yet can only be computed by the thread that asked for it.
    mx.eval(network.front_end, network.time_layers, network.instrument_layers, network.heads)
    return network


def _stacked(members: Sequence[_Folded]) -> Arrays:
    return {
        name: mx.array(np.stack([member[name] for member in members]).astype(np.float32))
        for name in members[0]
    }


@dataclass(frozen=True, eq=False)
class _Source:
    """Parameters to read by name, in float64."""

    parameters: Parameters

    def take(self, name: str, shape: tuple[int, ...]) -> _Float64:
        remedy = "Fetch the weights again, or choose a model of the architecture all-in-one."
        if name not in self.parameters:
            raise WeightsError(f"The model's parameters lack {name!r}.", remedy=remedy)
        values = np.asarray(self.parameters[name])
        if values.shape != shape:
            raise WeightsError(
                f"The model's parameter {name!r} has shape {list(values.shape)};"
                f" the network all-in-one needs {list(shape)}.",
                remedy=remedy,
            )
        return values.astype(np.float64)

    def linear(self, name: str, outputs: int, inputs: int) -> tuple[_Float64, _Float64]:
        return self.take(f"{name}.weight", (outputs, inputs)), self.take(f"{name}.bias", (outputs,))

    def norm(self, name: str, channels: int) -> tuple[_Float64, _Float64]:
        return self.take(f"{name}.weight", (channels,)), self.take(f"{name}.bias", (channels,))


def _front_end(source: _Source) -> _Folded:
    """Three convolutions as products.

    Of a maximum over three positions all three are columns of one matrix: ``first`` ``[15, 36]`` takes 5 bands of 3
    frames, ``second`` ``[168, 72]`` 14 bands of 12 channels, ``third`` ``[3, 120, 72]`` 5 bands of 24 channels for the
    frame before, the same and the next. ``gain`` and ``bias`` are the LayerNorm's at the end.
    """
    name = "embeddings."
    first = source.take(name + "conv0.weight", (12, 3, 3, 1))[..., 0]
    second = source.take(name + "conv1.weight", (24, 1, 12, 12))[:, 0]
    third = source.take(name + "conv2.weight", (24, 3, 3, 24))
    firsts, seconds = np.zeros((5, 3, 3, 12)), np.zeros((14, 12, 3, 24))
    thirds = np.zeros((3, 5, 24, 3, 24))
    for position in range(3):
        # Rows: band, then frame or channel. Columns: position, then channel.
        firsts[position : position + 3, :, position] = first.transpose(2, 1, 0)
        seconds[position : position + 12, :, position] = second.transpose(1, 2, 0)
        thirds[:, position : position + 3, :, position] = third.transpose(1, 2, 3, 0)
    gain, bias = source.norm(name + "norm", CHANNELS)
    return {
        "first": firsts.reshape(15, 36),
        "first_bias": source.take(name + "conv0.bias", (12,))[None],
        "second": seconds.reshape(168, 72),
        "second_bias": source.take(name + "conv1.bias", (24,))[None],
        "third": thirds.reshape(3, 120, 72),
        "third_bias": source.take(name + "conv2.bias", (24,))[None],
        "gain": gain[None],
        "bias": bias[None],
    }


def _time_layer(source: _Source, name: str) -> _Folded:
    """Two attentions of an instrument's frames to one another, and an MLP on both results.

    ``projections`` ``[6, 24, 24]``: queries, keys, values of the first dilation, then of the second.
    ``position_biases`` ``[2, 5, 5, 2]``: dilation, how many steps before the query its window begins, key, head.
    ``outputs`` ``[2, 24, 24]``.
    """
    norm = source.norm(name + "layernorm_before", CHANNELS)
    projections, position_biases, outputs = [], [], []
    for attention in (name + "attention.", name + "attention2."):
        projections += _projections(source, attention, norm)
        by_offset = source.take(attention + "self.rpb", (HEADS, 9)).T  # offset of the key from -4
        position_biases.append(
            np.stack([by_offset[4 - before : 9 - before] for before in range(5)])
        )
        outputs.append(_output(source, attention))
    return {
        "projections": np.stack([weight for weight, _ in projections]),
        "projections_bias": np.stack([bias[None] for _, bias in projections]),
        "position_biases": np.stack(position_biases),
        "outputs": np.stack([weight for weight, _ in outputs]),
        "outputs_bias": np.stack([bias[None] for _, bias in outputs]),
        **_mlp(source, name, 2 * CHANNELS, 192),
    }


def _instrument_layer(source: _Source, name: str) -> _Folded:
    """Attention of instruments and neighbouring frames to one another, and an MLP.

    ``projections`` ``[6, 24, 12]``: queries of each head, keys of each, values of each. ``output`` ``[2, 12, 24]``. The
    tables are those of :func:`position_table` for the first two frames, for four in the middle, and for the last two.
    """
    attention = name + "attention."
    projections = _projections(source, attention, source.norm(name + "layernorm_before", CHANNELS))
    rpb = source.take(attention + "self.rpb", (HEADS, 9, 9))
    output, output_bias = _output(source, attention)
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
        **_mlp(source, name, CHANNELS, 96),
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
        Frame of each query, counted from the first key frame.
    starts
        Where its window of five begins.
    keys
        Frames of keys.

    Returns
    -------
    ndarray
        ``[head, 1, queries * 4, keys * 4 + 1]``; minus infinity outside the window. The last column stands for the
        fifth instrument, of zeros, that the original pads with: the log of the sum of its exponentials.
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


def _after_norm(
    weight: _Float64, bias: _Float64, norm: tuple[_Float64, _Float64]
) -> tuple[_Float64, _Float64]:
    """Matrix ``[inputs, outputs]`` and bias, to follow a LayerNorm without gain and bias."""
    gain, shift = norm
    return (weight * gain).T, weight @ shift + bias


def _projections(
    source: _Source, name: str, norm: tuple[_Float64, _Float64]
) -> list[tuple[_Float64, _Float64]]:
    """Queries, keys and values; the last two without their own biases."""
    weight, bias = source.linear(name + "self.query", CHANNELS, CHANNELS)
    scale = 1 / math.sqrt(HEAD_CHANNELS)
    shape, none = (CHANNELS, CHANNELS), np.zeros(CHANNELS)
    return [
        _after_norm(weight * scale, bias * scale, norm),
        _after_norm(source.take(name + "self.key.weight", shape), none, norm),
        _after_norm(source.take(name + "self.value.weight", shape), none, norm),
    ]


def _output(source: _Source, name: str) -> tuple[_Float64, _Float64]:
    """Output matrix of an attention, and its bias with the values' bias in it."""
    weight, bias = source.linear(name + "output.dense", CHANNELS, CHANNELS)
    return weight.T, bias + weight @ source.take(name + "self.value.bias", (CHANNELS,))


def _mlp(source: _Source, name: str, inputs: int, hidden: int) -> _Folded:
    """Two linear maps with a GELU between."""
    up, up_bias = _after_norm(
        *source.linear(name + "intermediate.dense", hidden, inputs),
        source.norm(name + "layernorm_after", inputs),
    )
    down, down_bias = source.linear(name + "output.dense", CHANNELS, hidden)
    return {
        "up": up,
        "up_bias": up_bias[None],
        "down": down.T,
        "down_bias": down_bias[None],
    }


def _heads(source: _Source) -> _Folded:
    """The last LayerNorm's ``gain`` and ``bias``, and all outputs as one matrix ``[96, 13]`` after it."""
    gain, shift = source.norm("norm", CHANNELS)
    outputs = {"beat": 1, "downbeat": 1, "section": 1, "function": OUTPUTS - 3}
    pairs: list[Any] = [
        source.linear(f"{name}_classifier.classifier", rows, INSTRUMENTS * CHANNELS)
        for name, rows in outputs.items()
    ]
    weight, bias = _after_norm(
        np.concatenate([weight for weight, _ in pairs]),
        np.concatenate([bias for _, bias in pairs]),
        (np.tile(gain, INSTRUMENTS), np.tile(shift, INSTRUMENTS)),
    )
    return {"gain": gain[None], "bias": shift[None], "weight": weight, "weight_bias": bias[None]}
