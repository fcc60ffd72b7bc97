"""What the kernels share: GELU, the gate, moments of a row from sums of its parts."""

# Kernels are compiled by Triton, which gives their arguments types of its own.
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False
# mypy: disallow-incomplete-defs=False

from __future__ import annotations

import triton
import triton.language as tl

from allin1_backend_torch.triton_network.arithmetic import doubled_gelu

#: Most parts that the sums of a row come in.
MOST_PARTS = 128

_MOST_PARTS = tl.constexpr(MOST_PARTS)


@triton.jit
def gelu(x):
    """GELU of float32 values."""
    return 0.5 * doubled_gelu(x)


@triton.jit
def sigmoid(x):
    """Logistic function of float32 values; 0 and 1 where the power overflows."""
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def moments(sums, row, parts, count, eps):
    """Mean and inverse standard deviation of a row.

    Parameters
    ----------
    sums
        float32 ``[rows, parts, 2]``: sums of values and of their squares.
    row, parts
        Which row; how many parts, up to :data:`MOST_PARTS`.
    count
        Values of the row, as float32.
    eps
        Added to the variance.
    """
    part = tl.arange(0, _MOST_PARTS)
    places = sums + (row * parts + part) * 2
    mean = tl.sum(tl.load(places, mask=part < parts, other=0.0), 0) / count
    square = tl.sum(tl.load(places + 1, mask=part < parts, other=0.0), 0) / count
    variance = tl.maximum(square - mean * mean, 0.0)
    return mean, 1.0 / tl.sqrt(variance + eps)


@triton.jit
def store_sums(sums, row, part, parts, total, squares):
    """Store the sums of a part of a row for :func:`moments`."""
    place = sums + (row * parts + part) * 2
    tl.store(place, total)
    tl.store(place + 1, squares)
