"""Planes: the memory layout of the network's values.

A plane tensor is ``[channels, 4 * frames]``, with column ``4 * frame + instrument``. A linear map is then a product with a
long right operand, for which matrix libraries are fastest; a shift in time is a slice, for all instruments at once; and
reductions over channels are reductions over rows.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import gelu

from allin1_backend_torch.network_parameters import Mlp

#: Instruments: bass, drums, other, vocals.
INSTRUMENTS = 4

#: Added to the variance, as in the original's LayerNorm.
EPSILON = 1e-5


def columns(planes: Tensor, first: int, end: int) -> Tensor:
    """Return the frames from `first` to before `end`, without a copy."""
    return planes[:, INSTRUMENTS * first : INSTRUMENTS * end]


def normalised(planes: Tensor, out: Tensor | None = None) -> Tensor:
    """Divide by the root mean square over the channels: a LayerNorm of values whose mean is 0."""
    scale = planes.square().mean(0).add_(EPSILON).rsqrt_()
    return torch.mul(planes, scale, out=out)


def normalised_with_ones(planes: Tensor) -> Tensor:
    """The same, and a row of ones for a matrix whose last column is its bias."""
    channels, length = planes.shape
    result = planes.new_empty(channels + 1, length)
    normalised(planes, out=result[:channels])
    result[channels] = 1
    return result


def add_mlp(mlp: Mlp, planes: Tensor, residual: Tensor) -> None:
    """Add the MLP of the normalised `planes` to `residual`."""
    hidden = gelu(mlp.up @ normalised_with_ones(planes))
    residual.add_(mlp.down_bias).addmm_(mlp.down, hidden)
