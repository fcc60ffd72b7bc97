"""Common parts of the network's layers. Values are ``[members, ..., channels]``."""

from __future__ import annotations

import mlx.core as mx

from allin1_backend_mlx.network_parameters import Arrays

#: Added to the variance, as in the original's LayerNorm.
EPSILON = 1e-5

# Rational approximation of erf on [-4, 4] as in Eigen, with odd powers of x over even ones, highest first.
_ERF_NUMERATOR = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
_ERF_DENOMINATOR = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)


def normalised(x: mx.array) -> mx.array:
    """LayerNorm over the channels, without gain and bias."""
    return mx.fast.layer_norm(x, None, None, EPSILON)


def gelu(x: mx.array) -> mx.array:
    """GELU with the exact erf, to 4e-7.

    With only sums and products, it is as accurate as ``mx.erf``, and four times faster on a CPU.
    """
    z = mx.clip(x * 0.7071067811865476, -4.0, 4.0)
    square = z * z
    numerator, denominator = (
        _polynomial(_ERF_NUMERATOR, square),
        _polynomial(_ERF_DENOMINATOR, square),
    )
    return x * (0.5 + 0.5 * (z * numerator / denominator))


def elu(x: mx.array) -> mx.array:
    """ELU."""
    return mx.where(x > 0, x, mx.expm1(mx.minimum(x, 0.0)))


def mlp(x: mx.array, p: Arrays) -> mx.array:
    """MLP of the normalised values, ``[members, rows, inputs]`` to ``[members, rows, 24]``."""
    hidden = gelu(mx.addmm(p["up_bias"], normalised(x), p["up"]))
    return mx.addmm(p["down_bias"], hidden, p["down"])


def rows(x: mx.array, axis: int, first: int, count: int) -> mx.array:
    """Return `count` frames from `first`, with zeros after the end."""
    start, stop = [0] * x.ndim, list(x.shape)
    start[axis], stop[axis] = min(first, x.shape[axis]), min(first + count, x.shape[axis])
    part = x[tuple(slice(low, high) for low, high in zip(start, stop, strict=True))]
    missing = count - (stop[axis] - start[axis])
    if not missing:
        return part
    return mx.pad(part, [(0, missing if i == axis else 0) for i in range(x.ndim)])


def _polynomial(coefficients: tuple[float, ...], x: mx.array) -> mx.array:
    value = x * coefficients[0] + coefficients[1]
    for coefficient in coefficients[2:]:
        value = value * x + coefficient
    return value
