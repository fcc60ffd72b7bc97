"""The network's parameters, rearranged once so that the forward pass is short.

The network is that of Kim & Nam (WASPAA 2023, arXiv 2307.16425) as allin1 1.1.0 runs it. Everything is
folded in float64 and then rounded to float32. What is folded, and why the outputs stay the same:

* LayerNorm's gain and bias go into the matrix that follows. A matrix's bias is its last column, and its
  operand ends with a row of ones.
* The values that run through the blocks are read only through LayerNorms, which take away the mean over
  the channels. Taking it away from every matrix that writes them leaves nothing to subtract later: what
  remains of a LayerNorm is a division by the root mean square.
* 1/sqrt(12) goes into the queries.
* A key's bias adds the same number to all scores of a query, which softmax ignores. A value's bias comes
  out of the attention unchanged, because weights sum to 1, and so joins the output bias. (LayerNorm's own
  bias, seen through the key and value matrices, stays.)
* The original pads with zeros *after* the LayerNorm, and lets real frames attend to the padding. With both
  biases gone, the keys and values of padding are zeros.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from allin1_core.contracts.model import Parameters
from allin1_core.errors import WeightsError
from numpy.typing import NDArray
from torch import Tensor

#: Blocks; the attention of block i is dilated 2**i-fold, and 2**(i+1)-fold.
DEPTH = 11

#: Channels of a frame of one instrument.
CHANNELS = 24

#: Channels of each of the two attention heads.
HEAD_CHANNELS = 12

#: Beat, downbeat, section, and the ten functions.
OUTPUTS = 13

_Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FrontEnd:
    """Three convolutions, each followed by a maximum over three bands and an ELU.

    Attributes
    ----------
    first
        ``[36, 15]``: 12 channels at three neighbouring bands, from 5 bands of 3 frames.
    second
        ``[24, 144]``: from 12 bands of 12 channels.
    third
        ``[3, 24, 72]``: for the frame before, the same and the next, from 3 bands of 24 channels.
    first_bias, second_bias, third_bias
        ``[channels, 1]``.
    gain, bias
        ``[24, 1]``, of the LayerNorm at the end.
    """

    first: Tensor
    first_bias: Tensor
    second: Tensor
    second_bias: Tensor
    third: Tensor
    third_bias: Tensor
    gain: Tensor
    bias: Tensor


@dataclass(frozen=True, eq=False)
class TimeAttentions:
    """Attention of an instrument's frames to one another, at two dilations.

    Attributes
    ----------
    queries
        ``[48, 25]``, both dilations'.
    keys_values
        ``[96, 25]``: keys, then values, of the first dilation, then of the second.
    position_biases
        For each dilation ``[5, 5, 2, 1]``: how many steps before the query its window begins, key, head.
    output
        ``[48, 48]``, from both contexts to what is added for each.
    output_bias
        ``[48, 1]``.
    """

    queries: Tensor
    keys_values: Tensor
    position_biases: tuple[Tensor, Tensor]
    output: Tensor
    output_bias: Tensor


@dataclass(frozen=True, eq=False)
class Mlp:
    """Two linear maps with a GELU between: ``[hidden, inputs + 1]``, ``[24, hidden]``, ``[24, 1]``."""

    up: Tensor
    down: Tensor
    down_bias: Tensor


@dataclass(frozen=True, eq=False)
class InstrumentAttention:
    """Attention of instruments and neighbouring frames to one another.

    Attributes
    ----------
    rows
        ``[25, 74]``, to be multiplied from the right: queries 24, keys 24, and for each head its
        12 values and a one.
    output
        ``[24, 24]``.
    output_bias
        ``[24, 1]``.
    """

    rows: Tensor
    output: Tensor
    output_bias: Tensor


@dataclass(frozen=True, eq=False)
class Block:
    """A time layer and an instrument layer.

    Attributes
    ----------
    time_attentions
        The second dilation is twice the first.
    time_mlp
        From the results at both dilations, 48 channels.
    instrument_attention, instrument_mlp
        The instrument layer.
    """

    time_attentions: TimeAttentions
    time_mlp: Mlp
    instrument_attention: InstrumentAttention
    instrument_mlp: Mlp


@dataclass(frozen=True, eq=False)
class Network:
    """One network on one device.

    Attributes
    ----------
    front_end
        From bands to channels.
    blocks
        In order.
    instrument_position_bias
        float64 ``[blocks, head, instrument offset, frame offset]``, both offsets from -4 to 4.
    norm_gain, norm_bias
        ``[24, 1]``, of the last LayerNorm.
    heads
        ``[13, 96]``, columns instrument by instrument, from the normalised values before gain and bias.
    heads_bias
        ``[13, 1]``.
    """

    front_end: FrontEnd
    blocks: tuple[Block, ...]
    instrument_position_bias: _Float64
    norm_gain: Tensor
    norm_bias: Tensor
    heads: Tensor
    heads_bias: Tensor


def prepare(
    parameters: Parameters, device: torch.device, dtype: torch.dtype = torch.float32
) -> Network:
    """Fold the parameters of one network and bring them to a device.

    Parameters
    ----------
    parameters
        float32, under the names of the original's state dict; convolution kernels laid out output,
        height (frames), width (bands), input.
    device
        Where the network will run.
    dtype
        What it will compute in. The pipeline wants float32; in float64 tests can prove the algebra.

    Raises
    ------
    WeightsError
        If a parameter is missing or has another shape than this network's.
    """
    source = Source(parameters, device, dtype)
    layers = [f"encoder.layers.{i}." for i in range(DEPTH)]
    return Network(
        front_end=_front_end(source),
        blocks=tuple(_block(source, layer) for layer in layers),
        instrument_position_bias=np.stack(
            [source.take(layer + "instlayer.attention.self.rpb", (2, 9, 9)) for layer in layers]
        ),
        norm_gain=source.column("norm.weight", CHANNELS),
        norm_bias=source.column("norm.bias", CHANNELS),
        **_heads(source),
    )


@dataclass(frozen=True, eq=False)
class Source:
    """Parameters to read by name, and what to make of them."""

    parameters: Parameters
    device: torch.device
    dtype: torch.dtype

    def take(self, name: str, shape: tuple[int, ...]) -> _Float64:
        """The parameter `name`, which must have this shape, in float64."""
        if name not in self.parameters:
            raise WeightsError(
                f"The model's parameters lack {name!r}.",
                remedy="Fetch the weights again, or choose a model of the architecture all-in-one.",
            )
        values = np.asarray(self.parameters[name])
        if values.shape != shape:
            raise WeightsError(
                f"The model's parameter {name!r} has shape {list(values.shape)};"
                f" the network all-in-one needs {list(shape)}.",
                remedy="Fetch the weights again, or choose a model of the architecture all-in-one.",
            )
        return values.astype(np.float64)

    def linear(self, name: str, outputs: int, inputs: int) -> tuple[_Float64, _Float64]:
        """Weight ``[outputs, inputs]`` and bias of a linear map."""
        return self.take(f"{name}.weight", (outputs, inputs)), self.take(f"{name}.bias", (outputs,))

    def norm(self, name: str, channels: int) -> tuple[_Float64, _Float64]:
        """Gain and shift of a LayerNorm."""
        return self.take(f"{name}.weight", (channels,)), self.take(f"{name}.bias", (channels,))

    def tensor(self, values: _Float64) -> Tensor:
        """Values as a tensor on the device, in the type to compute in."""
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.dtype).to(self.device)

    def column(self, name: str, length: int) -> Tensor:
        """The vector `name` as a tensor ``[length, 1]``."""
        return self.tensor(self.take(name, (length,))[:, None])


def _after_norm(weight: _Float64, bias: _Float64, norm: tuple[_Float64, _Float64]) -> _Float64:
    """Matrix whose last column is its bias, to follow a LayerNorm without gain and bias."""
    gain, shift = norm
    return np.concatenate([weight * gain, (weight @ shift + bias)[:, None]], axis=1)


def _centred(values: _Float64) -> _Float64:
    """The same, less the mean over the channels that it writes."""
    centred: _Float64 = values - values.mean(axis=0)
    return centred


def _front_end(source: Source) -> FrontEnd:
    name = "embeddings."
    first = source.take(name + "conv0.weight", (12, 3, 3, 1))[..., 0].transpose(0, 2, 1)
    pooled = np.zeros((3, 12, 5, 3))
    for position in range(3):
        pooled[position, :, position : position + 3] = first  # channel, band, frame
    second = source.take(name + "conv1.weight", (24, 1, 12, 12))
    third = source.take(name + "conv2.weight", (24, 3, 3, 24))
    return FrontEnd(
        first=source.tensor(pooled.reshape(36, 15)),
        first_bias=source.column(name + "conv0.bias", 12),
        second=source.tensor(second.reshape(24, 144)),
        second_bias=source.column(name + "conv1.bias", 24),
        third=source.tensor(third.transpose(1, 0, 2, 3).reshape(3, 24, 72)),
        third_bias=source.column(name + "conv2.bias", 24),
        gain=source.column(name + "norm.weight", CHANNELS),
        bias=source.column(name + "norm.bias", CHANNELS),
    )


def _block(source: Source, name: str) -> Block:
    time, instrument = name + "timelayer.", name + "instlayer."
    return Block(
        time_attentions=_time_attentions(source, time),
        time_mlp=_mlp(source, time, 2 * CHANNELS, 192),
        instrument_attention=_instrument_attention(source, instrument),
        instrument_mlp=_mlp(source, instrument, CHANNELS, 96),
    )


def _projections(
    source: Source, name: str, norm: tuple[_Float64, _Float64]
) -> tuple[_Float64, _Float64, _Float64]:
    """Matrices ``[24, 25]`` of queries, keys and values; the last two without their biases."""
    none = np.zeros(CHANNELS)
    scale = 1 / math.sqrt(HEAD_CHANNELS)
    weight, bias = source.linear(name + "self.query", CHANNELS, CHANNELS)
    queries = _after_norm(weight * scale, bias * scale, norm)
    keys = _after_norm(source.take(name + "self.key.weight", (CHANNELS, CHANNELS)), none, norm)
    values = _after_norm(source.take(name + "self.value.weight", (CHANNELS, CHANNELS)), none, norm)
    return queries, keys, values


def _output(source: Source, name: str) -> tuple[_Float64, _Float64]:
    """Output matrix of an attention, and its bias with the values' bias in it."""
    weight, bias = source.linear(name + "output.dense", CHANNELS, CHANNELS)
    return weight, bias + weight @ source.take(name + "self.value.bias", (CHANNELS,))


def _time_attentions(source: Source, name: str) -> TimeAttentions:
    norm = source.norm(name + "layernorm_before", CHANNELS)
    queries, keys_values, position_biases = [], [], []
    output, output_bias = np.zeros((2 * CHANNELS, 2 * CHANNELS)), np.zeros((2 * CHANNELS, 1))
    for i, attention in enumerate((name + "attention.", name + "attention2.")):
        query, key, value = _projections(source, attention, norm)
        queries.append(query)
        keys_values += [key, value]
        bias = source.take(attention + "self.rpb", (2, 9))  # head, offset of the key from -4
        windows = np.stack([bias[:, 4 - before : 9 - before].T for before in range(5)])
        position_biases.append(source.tensor(windows[..., None]))
        own = slice(i * CHANNELS, (i + 1) * CHANNELS)
        output[own, own], output_bias[own, 0] = _output(source, attention)
    # One LayerNorm spans both results: the mean that is taken away is that over both together.
    return TimeAttentions(
        queries=source.tensor(np.concatenate(queries)),
        keys_values=source.tensor(np.concatenate(keys_values)),
        position_biases=(position_biases[0], position_biases[1]),
        output=source.tensor(_centred(output)),
        output_bias=source.tensor(_centred(output_bias)),
    )


def _instrument_attention(source: Source, name: str) -> InstrumentAttention:
    norm = source.norm(name + "layernorm_before", CHANNELS)
    queries, keys, values = _projections(source, name + "attention.", norm)
    one = np.zeros((1, CHANNELS + 1))
    one[0, -1] = 1
    columns = [queries, keys, values[:HEAD_CHANNELS], one, values[HEAD_CHANNELS:], one]
    output, output_bias = _output(source, name + "attention.")
    return InstrumentAttention(
        rows=source.tensor(np.concatenate(columns).T),
        output=source.tensor(_centred(output)),
        output_bias=source.tensor(_centred(output_bias[:, None])),
    )


def _mlp(source: Source, name: str, inputs: int, hidden: int) -> Mlp:
    norm = source.norm(name + "layernorm_after", inputs)
    down, down_bias = source.linear(name + "output.dense", CHANNELS, hidden)
    return Mlp(
        up=source.tensor(
            _after_norm(*source.linear(name + "intermediate.dense", hidden, inputs), norm)
        ),
        down=source.tensor(_centred(down)),
        down_bias=source.tensor(_centred(down_bias[:, None])),
    )


def _heads(source: Source) -> dict[str, Tensor]:
    gain, shift = source.norm("norm", CHANNELS)
    outputs = {"beat": 1, "downbeat": 1, "section": 1, "function": OUTPUTS - 3}
    pairs = [
        source.linear(f"{name}_classifier.classifier", rows, 4 * CHANNELS)
        for name, rows in outputs.items()
    ]
    weight = np.concatenate([weight for weight, _ in pairs])
    bias = np.concatenate([bias for _, bias in pairs]) + weight @ np.tile(shift, 4)
    return {
        "heads": source.tensor(weight * np.tile(gain, 4)),
        "heads_bias": source.tensor(bias[:, None]),
    }
