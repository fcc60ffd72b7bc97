"""A layer of the residual branch of Demucs: its parameters, and their layout for the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Rows that are computed together; DC_ROWS and DC_PAIRS of kernel/dconv.h.
ROWS, PAIRS = 6, 2


@dataclass(frozen=True, eq=False)
class Layer:
    """Parameters of a layer, from C to H to C channels, under the names of PyTorch's modules.

    Attributes
    ----------
    narrow_weight, narrow_bias
        ``[H, C, 3]`` and ``[H]``: a convolution over time, zero-padded to keep its length.
    dilation
        Distance of the three taps in samples.
    narrow_gain, narrow_shift, narrow_eps
        ``[H]``, ``[H]``: the norm over all channels and samples that follows.
    widen_weight, widen_bias
        ``[2 C, H]`` and ``[2 C]``.
    widen_gain, widen_shift, widen_eps
        ``[2 C]``, ``[2 C]``: the second norm.
    scale
        ``[C]``: factor of the gated result before it is added.
    """

    narrow_weight: NDArray[Any]
    narrow_bias: NDArray[Any]
    dilation: int
    narrow_gain: NDArray[Any]
    narrow_shift: NDArray[Any]
    narrow_eps: float
    widen_weight: NDArray[Any]
    widen_bias: NDArray[Any]
    widen_gain: NDArray[Any]
    widen_shift: NDArray[Any]
    widen_eps: float
    scale: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Packed:
    """A layer in the layout of ``kernel/dconv.h``."""

    channels: int
    hidden: int
    dilation: int
    narrow: NDArray[np.float32]
    narrow_bias: NDArray[np.float32]
    gain: NDArray[np.float32]
    shift: NDArray[np.float32]
    eps: float
    widen: NDArray[np.float32]
    widen_bias: NDArray[np.float32]
    widen_gain: NDArray[np.float32]
    widen_shift: NDArray[np.float32]
    widen_eps: float
    scale: NDArray[np.float32]
    gram: NDArray[np.float64]
    row_sum: NDArray[np.float64]
    biased_sum: NDArray[np.float64]
    bias_sum: float
    bias_square: float


def pack(layer: Layer) -> Packed:
    """Lay out the parameters of a layer, and precompute the sums for the second norm."""
    hidden, channels, taps = layer.narrow_weight.shape
    if taps != 3 or layer.widen_weight.shape != (2 * channels, hidden):
        raise ValueError("a layer is a convolution of three taps and a product back")
    narrow = [
        _flat(layer.narrow_weight[first : first + ROWS].transpose(1, 2, 0))
        for first in range(0, hidden, ROWS)
    ]
    halves = layer.widen_weight.reshape(2, channels, hidden)
    widen = [
        _flat(halves[:, first : first + PAIRS].transpose(2, 0, 1))
        for first in range(0, channels, PAIRS)
    ]
    weight = layer.widen_weight.astype(np.float64)
    bias = layer.widen_bias.astype(np.float64)
    even = hidden + hidden % 2
    gram = np.zeros((even, even))
    gram[:hidden, :hidden] = weight.T @ weight
    square = np.arange(even) // 2
    gram[square[:, None] > square] *= 2
    return Packed(
        channels=channels,
        hidden=hidden,
        dilation=layer.dilation,
        narrow=np.concatenate(narrow),
        narrow_bias=_flat(layer.narrow_bias),
        gain=_flat(layer.narrow_gain),
        shift=_flat(layer.narrow_shift),
        eps=layer.narrow_eps,
        widen=np.concatenate(widen),
        widen_bias=_flat(layer.widen_bias),
        widen_gain=_flat(layer.widen_gain),
        widen_shift=_flat(layer.widen_shift),
        widen_eps=layer.widen_eps,
        scale=_flat(layer.scale),
        gram=gram,
        row_sum=weight.sum(axis=0),
        biased_sum=bias @ weight,
        bias_sum=float(bias.sum()),
        bias_square=float(bias @ bias),
    )


def _flat(values: NDArray[Any]) -> NDArray[np.float32]:
    """Copy into a flat array that owns its memory."""
    return np.array(values, np.float32, order="C").reshape(-1)
