"""Shared parts of the kernels: split products, LayerNorm, GELU, and storing the input of a layer.

A float32 product is computed as three float16 products with sums in float32. Both factors are split, ``a = high + low``;
the product of the two low halves, about 2^-22 of the whole, is left out. This is as exact as float32 for this network, and
several times faster than Triton's TensorFloat-32 (14 instead of 36 ms for the ensemble on an H200). If ``EXACT`` is false,
only the product of the high halves is computed.
"""

# Kernels are compiled by Triton, which gives their arguments its own types.
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False
# mypy: disallow-incomplete-defs=False

from __future__ import annotations

import triton
import triton.language as tl

from allin1_backend_torch.triton_network.packing import MATRIX_SCALE

#: Removes the scale of the matrices from a product.
UNSCALE = tl.constexpr(1 / MATRIX_SCALE)


@triton.jit
def halves(values):
    """Return values rounded to float16, and the rounding errors as float16."""
    high = values.to(tl.float16)
    low = (values - high.to(tl.float32)).to(tl.float16)
    return high, low


@triton.jit
def add_product(total, high, low, matrix_high, matrix_low, EXACT: tl.constexpr):
    """`total` and the product of two matrices in halves, the smallest terms first."""
    if EXACT:
        total = tl.dot(low, matrix_high, total)
        total = tl.dot(high, matrix_low, total)
    return tl.dot(high, matrix_high, total)


@triton.jit
def project(
    total,
    rows,
    matrix,
    matrix_low,
    offset,
    INPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    EXACT: tl.constexpr,
):
    """`total` and float32 `rows` ``[n, INPUTS]`` times the matrix ``[INPUTS, OUTPUTS]`` at `offset`."""
    places = offset + tl.arange(0, INPUTS)[:, None] * OUTPUTS + tl.arange(0, OUTPUTS)[None, :]
    matrix_high = tl.load(matrix + places)
    if EXACT:
        high, low = halves(rows)
        total = add_product(total, high, low, matrix_high, tl.load(matrix_low + places), True)
    else:
        high = rows.to(tl.float16)
        total = add_product(total, high, high, matrix_high, matrix_high, False)
    return total


@triton.jit
def layer_norm(rows, vectors, gain, shift):
    """LayerNorm of ``[n, 32]``, of which 24 columns are used and the others are zero, before and after."""
    column = tl.arange(0, 32)
    mean = tl.sum(rows, 1) * (1.0 / 24)
    centred = tl.where((column < 24)[None, :], rows - mean[:, None], 0.0)
    variance = tl.sum(centred * centred, 1) * (1.0 / 24)
    scaled = centred * (1.0 / tl.sqrt(variance + 1e-5))[:, None]
    return (
        scaled * tl.load(vectors + gain + column)[None, :]
        + tl.load(vectors + shift + column)[None, :]
    )


@triton.jit
def doubled_gelu(x):
    """Twice GELU: ``x (1 + erf(x / sqrt 2))``, without a division.

    ``log2 erfc(s / sqrt 2)`` is nearly a parabola for ``s = |x|``: a polynomial of degree 8 without a constant term, fitted to
    the error of the result on [0, 6], and falling beyond. The error is at most 2e-8, and 5e-7 in float32.
    """
    size = tl.abs(x)
    power = -1.90198857e-06 * size + 2.80556843e-05
    power = power * size - 0.000131465235
    power = power * size - 0.000272101465
    power = power * size + 0.00724546637
    power = power * size - 0.0526276534
    power = power * size - 0.459162124
    power = power * size - 1.15111105
    return x + size - size * tl.exp2(power * size)


@triton.jit
def elu(x):
    """``x`` above 0, ``exp(x) - 1`` below."""
    return tl.where(x > 0, x, tl.exp(tl.minimum(x, 0.0)) - 1.0)


@triton.jit
def store_plane(values, plane, rows, kept):
    """Store ``[n, 32]`` by head, without its padding, to `rows` of a plane of 24 channels."""
    column = tl.arange(0, 32)
    places = (rows * 24)[:, None] + ((column // 16) * 12 + column % 16)[None, :]
    tl.store(plane + places, values, mask=kept[:, None] & ((column % 16) < 12)[None, :])


@triton.jit
def store_two_planes(values, plane, plane_stride, rows, kept, COUNT: tl.constexpr):
    """Store ``[COUNT, 64]`` to `rows` of a plane and of the next, each as :func:`store_plane` does.

    A single store with a pointer for each column would be compiled to a separate store for each value.
    """
    first, second = tl.split(tl.permute(tl.reshape(values, (COUNT, 2, 32)), (0, 2, 1)))
    store_plane(first, plane, rows, kept)
    store_plane(second, plane + plane_stride, rows, kept)


@triton.jit
def open_time_layer(
    x, planes, plane_stride, rows, real, kept,
    matrix, matrix_low, offset, vectors, gain, shift, bias,
    COUNT: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Write queries, keys and values at both dilations from ``[COUNT, 32]`` values.

    Parameters
    ----------
    x
        Values.
    planes
        Six planes, `plane_stride` apart.
    rows
        ``[COUNT]``: row of each in a plane.
    real
        ``[COUNT]``: whether each is a frame of the song; the others are padding, zero after the LayerNorm.
    kept
        ``[COUNT]``: whether each is stored.
    offset, gain, shift, bias
        Offsets of the matrices and the vectors.
    """
    y = tl.where(real[:, None], layer_norm(x, vectors, gain, shift), 0.0)
    column = tl.arange(0, 64)
    for pair in tl.static_range(3):
        values = tl.zeros((COUNT, 64), tl.float32)
        values = project(values, y, matrix, matrix_low, offset + pair * 2048, 32, 64, EXACT)
        values = values * UNSCALE + tl.load(vectors + bias + pair * 64 + column)[None, :]
        store_two_planes(values, planes + 2 * pair * plane_stride, plane_stride, rows, kept, COUNT)
