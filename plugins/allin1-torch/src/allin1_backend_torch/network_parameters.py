"""The parameters of the network, in the layout of the forward pass.

The network is that of Kim & Nam (WASPAA 2023, arXiv 2307.16425) as allin1 1.1.0 runs it. The core folds the parameters
(:mod:`allin1_core.reference.network_folding`). The bias of a matrix is its last column, and its operand ends with a row of
ones; the mean over the channels is subtracted from every matrix that writes to the residual stream, so that only a division by the
root mean square remains of a LayerNorm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from allin1_core.contracts.logits import EMBEDDING_SIZE
from allin1_core.contracts.model import Parameters
from allin1_core.reference import network_parameters as reference
from allin1_core.reference.network_folding import (
    HEAD_CHANNELS,
    FoldedBlock,
    FoldedLayer,
    FoldedNetwork,
    Map,
    fold_network,
)
from numpy.typing import NDArray
from torch import Tensor

#: Blocks; the attention of block i is dilated 2**i-fold, and 2**(i+1)-fold.
DEPTH = reference.BLOCKS

#: Channels of a frame of one instrument.
CHANNELS = EMBEDDING_SIZE

#: Beat, downbeat, section, and the ten functions.
OUTPUTS = sum(reference.OUTPUTS.values())

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
        For each dilation ``[5, 5, 2, 1]``: number of steps by which the window starts before the query, key, head.
    output
        ``[48, 48]``, from both contexts to the terms that are added for each.
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
    """Two linear maps with a GELU in between: ``[hidden, inputs + 1]``, ``[24, hidden]``, ``[24, 1]``."""

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
    """Fold the parameters of one network and move them to a device.

    Parameters
    ----------
    parameters
        float32, under the names of the original's state dict; convolution kernels laid out output,
        height (frames), width (bands), input.
    device
        Device of the network.
    dtype
        Type of the computation. The pipeline requires float32; tests use float64 to verify the algebra.

    Raises
    ------
    WeightsError
        A parameter is missing or has the wrong shape.
    """
    network = fold_network(parameters)

    def tensor(values: _Float64) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(dtype).to(device)

    return Network(
        front_end=_front_end(network, tensor),
        blocks=tuple(_block(block, tensor) for block in network.blocks),
        instrument_position_bias=np.stack(
            [block.instruments.attentions[0].position_bias for block in network.blocks]
        ),
        norm_gain=tensor(network.plain.norm.gain),
        norm_bias=tensor(network.plain.norm.bias),
        heads=tensor(network.heads.weight),
        heads_bias=tensor(network.heads.bias[:, None]),
    )


#: Moves values to the device, in the type of the computation.
_ToTensor = Callable[[_Float64], Tensor]


def _with_bias(linear: Map) -> _Float64:
    """Matrix whose last column is its bias."""
    return np.concatenate([linear.weight, linear.bias[:, None]], axis=1)


def _front_end(network: FoldedNetwork, tensor: _ToTensor) -> FrontEnd:
    convolutions = network.plain.convolutions
    first, second, third = (each.kernel for each in convolutions)
    pooled = np.zeros((3, 12, 5, 3))
    for position in range(3):
        # channel, band, frame
        pooled[position, :, position : position + 3] = first[..., 0].transpose(0, 2, 1)
    first_bias, second_bias, third_bias = (tensor(each.bias) for each in convolutions)
    return FrontEnd(
        first=tensor(pooled.reshape(36, 15)),
        first_bias=first_bias,
        second=tensor(second.reshape(24, 144)),
        second_bias=second_bias,
        third=tensor(third.transpose(1, 0, 2, 3).reshape(3, 24, 72)),
        third_bias=third_bias,
        gain=tensor(network.plain.front_norm.gain),
        bias=tensor(network.plain.front_norm.bias),
    )


def _block(block: FoldedBlock, tensor: _ToTensor) -> Block:
    return Block(
        time_attentions=_time_attentions(block.time, tensor),
        time_mlp=_mlp(block.time, tensor),
        instrument_attention=_instrument_attention(block.instruments, tensor),
        instrument_mlp=_mlp(block.instruments, tensor),
    )


def _time_attentions(layer: FoldedLayer, tensor: _ToTensor) -> TimeAttentions:
    queries, keys_values, position_biases = [], [], []
    output, output_bias = np.zeros((2 * CHANNELS, 2 * CHANNELS)), np.zeros(2 * CHANNELS)
    for i, attention in enumerate(layer.attentions):
        queries.append(_with_bias(attention.query))
        keys_values += [_with_bias(attention.key), _with_bias(attention.value)]
        bias = attention.position_bias  # head, offset of the key from -4
        windows = np.stack([bias[:, 4 - before : 9 - before].T for before in range(5)])
        position_biases.append(tensor(windows[..., None]))
        own = slice(i * CHANNELS, (i + 1) * CHANNELS)
        output[own, own], output_bias[own] = attention.output.weight, attention.output.bias
    # One LayerNorm covers both results: the mean over both together is subtracted.
    centred = Map(output, output_bias).centred()
    return TimeAttentions(
        queries=tensor(np.concatenate(queries)),
        keys_values=tensor(np.concatenate(keys_values)),
        position_biases=(position_biases[0], position_biases[1]),
        output=tensor(centred.weight),
        output_bias=tensor(centred.bias[:, None]),
    )


def _instrument_attention(layer: FoldedLayer, tensor: _ToTensor) -> InstrumentAttention:
    (attention,) = layer.attentions
    values, output = _with_bias(attention.value), attention.output.centred()
    one = np.zeros((1, CHANNELS + 1))
    one[0, -1] = 1
    columns = [_with_bias(attention.query), _with_bias(attention.key)]
    columns += [values[:HEAD_CHANNELS], one, values[HEAD_CHANNELS:], one]
    return InstrumentAttention(
        rows=tensor(np.concatenate(columns).T),
        output=tensor(output.weight),
        output_bias=tensor(output.bias[:, None]),
    )


def _mlp(layer: FoldedLayer, tensor: _ToTensor) -> Mlp:
    down = layer.down.centred()
    return Mlp(
        up=tensor(_with_bias(layer.up)),
        down=tensor(down.weight),
        down_bias=tensor(down.bias[:, None]),
    )
