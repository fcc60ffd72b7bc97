"""The parameters of a model, folded, in the layout of the kernels, and moved to the device.

The following is folded, in float64:

* 1/sqrt(12) and log2(e) into the queries, log2(e) into the position biases: softmax then uses powers of two.
* The factor 1/2 of GELU, ``x (1 + erf(x / sqrt 2)) / 2``, into the matrix after it.

LayerNorms keep gain and shift. The original pads a song with zeros *after* a LayerNorm, so that keys and values are
their biases; a kernel computes these by projecting a row of zeros, which would be wrong with folded shifts.

A matrix is stored as the sum of two float16 arrays, accurate to about 22 bits, multiplied by 2^8: otherwise, the low halves
of small weights would be subnormal, and the error of the logits five times as large.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from allin1_core.contracts.model import Parameters
from allin1_core.reference.network_folding import HEAD_CHANNELS, Map, map_of
from allin1_core.reference.network_parameters import (
    Attention,
    Block,
    Layer,
    Network,
    Norm,
    read_network,
)
from numpy.typing import NDArray
from torch import Tensor

from allin1_backend_torch.network_parameters import CHANNELS
from allin1_backend_torch.triton_network import layout

#: Scale of the stored matrices.
MATRIX_SCALE = 256.0

_Float64 = NDArray[np.float64]
_Arrays = Mapping[str, _Float64]
_LOG2_E = math.log2(math.e)


@dataclass(frozen=True, eq=False)
class Matrices:
    """Matrices of all members, times 2^8: float16 ``[members, size]``, or ``[blocks, members, size]``.

    Attributes
    ----------
    high
        Values rounded to float16.
    low
        Rounding errors, rounded to float16.
    """

    high: Tensor
    low: Tensor

    def of(self, block: int) -> Matrices:
        """Those of one block."""
        return Matrices(self.high[block], self.low[block])

    def members(self, first: int, end: int) -> Matrices:
        """Those of some members."""
        return Matrices(self.high[..., first:end, :], self.low[..., first:end, :])


@dataclass(frozen=True, eq=False)
class Weights:
    """The input of the kernels: matrices, and vectors as float32; the first axis is the member.

    Those of the blocks have an axis of blocks before it. `head_matrices` are float32, and not scaled. `gain` and `shift`
    ``[members, 24]`` are those of the last LayerNorm, for the embeddings.
    """

    first_matrices: Matrices
    first_vectors: Tensor
    second_matrices: Matrices
    second_vectors: Tensor
    third_matrices: Matrices
    third_vectors: Tensor
    time_attention_vectors: Tensor
    time_mlp_matrices: Matrices
    time_mlp_vectors: Tensor
    instrument_matrices: Matrices
    instrument_vectors: Tensor
    head_matrices: Tensor
    head_vectors: Tensor
    gain: Tensor
    shift: Tensor

    @property
    def count(self) -> int:
        """Number of members."""
        return self.gain.shape[0]

    def members(self, first: int, end: int) -> Weights:
        """The weights of the members from `first` to before `end`, without a copy."""
        parts: dict[str, Any] = {}
        for name, value in vars(self).items():
            of_matrices = isinstance(value, Matrices)
            parts[name] = value.members(first, end) if of_matrices else value[..., first:end, :]
        return Weights(**parts)


def pack(members: Sequence[Parameters], device: torch.device) -> Weights:
    """Lay out the parameters of an ensemble's members.

    Raises
    ------
    WeightsError
        A parameter is missing or has the wrong shape.
    """
    packed = [_member(read_network(parameters, np.float64)) for parameters in members]

    def stacked(name: str) -> _Float64:
        values = np.stack([member[name] for member in packed])  # [members, (blocks,) size]
        return np.ascontiguousarray(values if values.ndim == 2 else values.swapaxes(0, 1))

    def vectors(name: str) -> Tensor:
        return torch.from_numpy(stacked(name)).to(torch.float32).to(device)

    def matrices(name: str) -> Matrices:
        values = torch.from_numpy(stacked(name) * MATRIX_SCALE)
        high = values.to(torch.float16)
        low = (values - high).to(torch.float16)
        return Matrices(high.to(device), low.to(device))

    return Weights(
        first_matrices=matrices("first_matrices"),
        first_vectors=vectors("first_vectors"),
        second_matrices=matrices("second_matrices"),
        second_vectors=vectors("second_vectors"),
        third_matrices=matrices("third_matrices"),
        third_vectors=vectors("third_vectors"),
        time_attention_vectors=vectors("time_attention_vectors"),
        time_mlp_matrices=matrices("time_mlp_matrices"),
        time_mlp_vectors=vectors("time_mlp_vectors"),
        instrument_matrices=matrices("instrument_matrices"),
        instrument_vectors=vectors("instrument_vectors"),
        head_matrices=vectors("head_matrices"),
        head_vectors=vectors("head_vectors"),
        gain=vectors("gain"),
        shift=vectors("shift"),
    )


def _member(network: Network) -> dict[str, _Float64]:
    """Every array of one member: ``[size]``, or ``[blocks, size]``."""
    # There is no block after the last one; its kernel leaves out that part.
    layers = [block.time for block in network.blocks]
    openings = [_opening(layer) for layer in [*layers, layers[-1]]]
    gain, shift = _of_norm(network.norm)
    arrays = {**_front_end(network, openings[0]), **_heads(network), "gain": gain, "shift": shift}
    time = [_time(block) for block in network.blocks]
    instruments = [
        _instruments(block.instruments, opening)
        for block, opening in zip(network.blocks, openings[1:], strict=True)
    ]
    for name in time[0]:
        arrays[name] = np.stack([block[name] for block in time])
    for name in instruments[0]:
        arrays[name] = np.stack([block[name] for block in instruments])
    return arrays


def _front_end(network: Network, opening: _Arrays) -> dict[str, _Float64]:
    first, second, third = (np.asarray(each.kernel) for each in network.convolutions)
    biases = [np.asarray(each.bias[:, 0]) for each in network.convolutions]
    pooled = np.zeros((3, 3, 5, 12))  # position, frame, band, channel
    for position in range(3):
        pooled[position, :, position : position + 3] = first[..., 0].transpose(1, 2, 0)
    gain, shift = _of_norm(network.front_norm)
    kernels = [_padded(third[:, frame].reshape(24, 72).T, 80, 32) for frame in range(3)]
    vectors, matrices = _split(opening)
    return {
        "first_matrices": layout.FIRST_MATRICES.pack(
            {"kernel": _padded(pooled.reshape(3, 15, 12), 3, 16, 16)}
        ),
        "first_vectors": layout.FIRST_VECTORS.pack({"bias": _padded(biases[0], 16)}),
        "second_matrices": layout.SECOND_MATRICES.pack(
            {"kernel": _padded(second.reshape(24, 144).T, 144, 32)}
        ),
        "second_vectors": layout.SECOND_VECTORS.pack({"bias": _padded(biases[1], 32)}),
        "third_matrices": layout.THIRD_MATRICES.pack({"kernel": np.stack(kernels), **matrices}),
        "third_vectors": layout.THIRD_VECTORS.pack(
            {
                "bias": _padded(biases[2], 32),
                "gain": _padded(gain, 32),
                "shift": _padded(shift, 32),
                **vectors,
            }
        ),
    }


def _opening(layer: Layer) -> dict[str, _Float64]:
    """The LayerNorm and the projections at the start of a time layer."""
    gain, shift = _of_norm(layer.before)
    near, far = layer.attentions
    near_planes, near_biases = _projections(near)
    far_planes, far_biases = _projections(far)
    planes, biases = [*near_planes, *far_planes], [*near_biases, *far_biases]
    pairs = [np.concatenate(planes[i : i + 2], axis=1) for i in (0, 2, 4)]
    return {
        "next_gain": _padded(gain, 32),
        "next_shift": _padded(shift, 32),
        "next_bias": np.concatenate(biases).reshape(3, 64),
        "next_planes": np.stack(pairs),
    }


def _time(block: Block) -> dict[str, _Float64]:
    """The time layer of a block, and the start of its instrument layer."""
    layer, following = block.time, block.instruments
    outputs = [map_of(each.output) for each in layer.attentions]
    gain, shift = _of_norm(layer.after)
    up, down = map_of(layer.expand), map_of(layer.contract)
    next_gain, next_shift = _of_norm(following.before)
    (queries, keys, values), biases = _projections(following.attentions[0])

    position_biases = [np.asarray(each.position_bias) * _LOG2_E for each in layer.attentions]
    ups = [
        [_padded(part.T, 32, 64) for part in (rows[:, :CHANNELS], rows[:, CHANNELS:])]
        for rows in np.split(up.weight, 3)
    ]
    return {
        "time_attention_vectors": layout.TIME_ATTENTION_VECTORS.pack(
            {"position_bias": np.stack([_padded(bias, 2, 16) for bias in position_biases])}
        ),
        "time_mlp_matrices": layout.TIME_MLP_MATRICES.pack(
            {
                "output": np.stack([_padded(_by_head(o.weight.T), 32, 32) for o in outputs]),
                "up": np.array(ups),
                "down": _halved(down, 64),
                "queries_keys": np.concatenate([queries, keys], axis=1),
                "values": values,
            }
        ),
        "time_mlp_vectors": layout.TIME_MLP_VECTORS.pack(
            {
                "output_bias": np.stack([_padded(o.bias, 32) for o in outputs]),
                "gain": _padded(gain.reshape(2, CHANNELS), 2, 32),
                "shift": _padded(shift.reshape(2, CHANNELS), 2, 32),
                "up_bias": up.bias,
                "down_bias": _padded(down.bias, 32),
                "next_gain": _padded(next_gain, 32),
                "next_shift": _padded(next_shift, 32),
                "queries_keys_bias": np.concatenate(biases[:2]),
                "values_bias": biases[2],
            }
        ),
    }


def _instruments(layer: Layer, opening: _Arrays) -> dict[str, _Float64]:
    """The instrument layer of a block, and the start of the next block's time layer."""
    (attention,) = layer.attentions
    output = map_of(attention.output)
    gain, shift = _of_norm(layer.after)
    up, down = map_of(layer.expand), map_of(layer.contract)
    _, (_, keys_bias, values_bias) = _projections(attention)
    position_bias = np.asarray(attention.position_bias) * _LOG2_E
    vectors, matrices = _split(opening)
    return {
        "instrument_matrices": layout.INSTRUMENT_MATRICES.pack(
            {
                "output": _padded(_by_head(output.weight.T), 32, 32),
                "up": np.stack([_padded(rows.T, 32, 32) for rows in np.split(up.weight, 3)]),
                "down": _halved(down, 32),
                **matrices,
            }
        ),
        "instrument_vectors": layout.INSTRUMENT_VECTORS.pack(
            {
                "output_bias": _padded(output.bias, 32),
                "gain": _padded(gain, 32),
                "shift": _padded(shift, 32),
                "up_bias": up.bias,
                "down_bias": _padded(down.bias, 32),
                "keys_bias": keys_bias,
                "values_bias": values_bias,
                "position_bias": _padded(position_bias.reshape(2, 81), 2, 96),
                **vectors,
            }
        ),
    }


def _heads(network: Network) -> dict[str, _Float64]:
    heads = map_of(network.heads)
    gain, shift = _of_norm(network.norm)
    return {
        "head_matrices": layout.HEAD_MATRICES.pack(
            {"kernel": np.stack([_padded(part.T, 32, 16) for part in np.split(heads.weight, 4, 1)])}
        ),
        "head_vectors": layout.HEAD_VECTORS.pack(
            {
                "gain": _padded(gain, 32),
                "shift": _padded(shift, 32),
                "bias": _padded(heads.bias, 16),
            }
        ),
    }


def _projections(attention: Attention) -> tuple[list[_Float64], list[_Float64]]:
    """Matrices ``[32, 32]`` and biases ``[32]`` of queries, keys and values; outputs by head."""
    queries = map_of(attention.query).scaled(_LOG2_E / math.sqrt(HEAD_CHANNELS))
    maps = [queries, map_of(attention.key), map_of(attention.value)]
    matrices = [_padded(_by_head(each.weight).T, 32, 32) for each in maps]
    return matrices, [_by_head(each.bias) for each in maps]


def _of_norm(norm: Norm) -> tuple[_Float64, _Float64]:
    """Gain and shift of a LayerNorm, each ``[channels]``."""
    return np.asarray(norm.gain[:, 0]), np.asarray(norm.bias[:, 0])


def _halved(down: Map, rows: int) -> _Float64:
    """Matrix after a GELU, times 1/2, in three parts of its inputs."""
    return np.stack([_padded(part.T / 2, rows, 32) for part in np.split(down.weight, 3, 1)])


def _split(opening: _Arrays) -> tuple[_Arrays, _Arrays]:
    """Split the output of :func:`_opening` into vectors and matrices."""
    vectors = {name: value for name, value in opening.items() if name != "next_planes"}
    return vectors, {"next_planes": opening["next_planes"]}


def _padded(values: _Float64, *shape: int) -> _Float64:
    """`values` in the corner of an array of zeros."""
    result = np.zeros(shape)
    result[tuple(slice(length) for length in values.shape)] = values
    return result


def _by_head(rows: _Float64) -> _Float64:
    """24 rows as 32: the 12 of each head, followed by 4 of zeros."""
    heads = rows.reshape(2, HEAD_CHANNELS, *rows.shape[1:])
    return _padded(heads, 2, 16, *rows.shape[1:]).reshape(32, *rows.shape[1:])
