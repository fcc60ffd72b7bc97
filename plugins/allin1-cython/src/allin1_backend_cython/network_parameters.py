"""The parameters of the network in the layout of the compiled code.

They are folded by the core (:mod:`allin1_core.reference.network_folding`). In addition, the factor between the exponential
function and powers of two is folded into the queries and position biases, and the mean over the channels is subtracted
from everything that is added to a state, which does not affect any LayerNorm, so that no mean has to be computed. The
frames and the fifth instrument that the original pads with become keys and values of zero.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from allin1_backend_cython._network import NETWORK_SIZE, aligned_zeros
from allin1_core.contracts.audio import STEMS
from allin1_core.contracts.logits import EMBEDDING_SIZE
from allin1_core.contracts.model import Parameters
from allin1_core.reference.network_folding import (
    FoldedAttention,
    FoldedLayer,
    FoldedNetwork,
    Map,
    fold_network,
)
from allin1_core.reference.network_parameters import WINDOW

_Float64 = NDArray[np.float64]

INSTRUMENTS = len(STEMS)

#: Number of rows of a matrix whose weights are interleaved; as in ``kernel/network.h``.
ROWS = 6

_LOG2_E = 1 / math.log(2)


def pack(parameters: Parameters) -> NDArray[np.float32]:
    """Fold the parameters of one network into the array that the compiled code reads.

    Parameters
    ----------
    parameters
        float32, under the names of the original's state dict; convolution kernels laid out output,
        height (frames), width (bands), input.

    Returns
    -------
    float32 ``[NETWORK_SIZE]``, in the layout of ``nn_network`` in ``kernel/network.h``.

    Raises
    ------
    WeightsError
        A parameter is missing or has the wrong shape.
    """
    network = fold_network(parameters)
    pieces = _front_end(network)
    for block in network.blocks:
        pieces += _time_layer(block.time)
        pieces += _instrument_layer(block.instruments)
    pieces += _heads(network)
    packed = aligned_zeros(NETWORK_SIZE)
    np.concatenate([piece.ravel() for piece in pieces], out=packed, casting="same_kind")
    return packed


def _front_end(network: FoldedNetwork) -> list[_Float64]:
    pieces: list[_Float64] = []
    for convolution in network.plain.convolutions:
        kernel = convolution.kernel.reshape(len(convolution.kernel), -1)
        pieces += _rows(Map(kernel, convolution.bias[:, 0]))
    return [*pieces, network.plain.front_norm.gain, network.plain.front_norm.bias]


def _time_layer(layer: FoldedLayer) -> list[_Float64]:
    attentions = layer.attentions
    pieces = _rows(_stacked([each.query.scaled(_LOG2_E) for each in attentions]))
    pieces += _rows(_stacked([part for each in attentions for part in (each.key, each.value)]))
    pieces += [_LOG2_E * each.position_bias for each in attentions]
    for each in attentions:
        pieces += _rows(each.output)
    return pieces + _feed_forward(layer)


def _instrument_layer(layer: FoldedLayer) -> list[_Float64]:
    attention: FoldedAttention = layer.attentions[0]
    pieces = _rows(attention.query.scaled(_LOG2_E))
    pieces += _rows(_stacked([attention.key, attention.value]))
    pieces += _position_tables(attention.position_bias)
    pieces += _rows(attention.output.centred())
    return pieces + _feed_forward(layer)


def _feed_forward(layer: FoldedLayer) -> list[_Float64]:
    return _rows(layer.up) + _rows(layer.down.centred())


def _heads(network: FoldedNetwork) -> list[_Float64]:
    weight = network.heads.weight.reshape(-1, INSTRUMENTS, EMBEDDING_SIZE).transpose(0, 2, 1)
    return [weight, network.heads.bias, network.plain.norm.gain, network.plain.norm.bias]


def _stacked(maps: list[Map]) -> Map:
    """Stack the rows of several maps into one."""
    return Map(
        np.concatenate([each.weight for each in maps]), np.concatenate([each.bias for each in maps])
    )


def _rows(each: Map) -> list[_Float64]:
    """A matrix with the weights of six rows interleaved, and its bias."""
    weight = each.weight
    return [weight.reshape(-1, ROWS, weight.shape[1]).transpose(0, 2, 1), each.bias]


def _position_tables(bias: _Float64) -> list[_Float64]:
    """The position biases that `nn_instrument_layer` adds to scores, and the score of all padding keys.

    Parameters
    ----------
    bias
        ``[head, instrument offset, frame offset]``, offsets of the key from -4 to 4.

    Returns
    -------
    ``[before, head, turn, place in the window, key instrument]`` and ``[before, head, query instrument]``,
    in units of log 2; `before` is the number of frames by which the window starts before its query.
    """
    by_before = np.stack([bias[:, :, 4 - before : 9 - before] for before in range(WINDOW)])
    turn, key = np.ogrid[:INSTRUMENTS, :INSTRUMENTS]
    scores = by_before[:, :, key - (key - turn) % INSTRUMENTS + 4]  # before, head, turn, key, place
    padding = by_before[
        :, :, INSTRUMENTS - np.arange(INSTRUMENTS) + 4
    ]  # before, head, query, place
    return [
        _LOG2_E * scores.transpose(0, 1, 2, 4, 3),
        _LOG2_E * np.log(np.exp(padding).sum(axis=-1)),
    ]
