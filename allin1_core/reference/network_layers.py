"""Linear maps, LayerNorm and the feed-forward part of the network, on columns.

Arrays are ``[…, channels, frames]``, so that every map is one matrix product with a long right-hand side.
"""

from __future__ import annotations

import numpy as np

from allin1_core.reference.network_gelu import gelu
from allin1_core.reference.network_parameters import Affine, Floats, Layer, Norm

_NORM_EPSILON = 1e-5

#: Number of multiplications up to which OpenBLAS, which most builds of NumPy contain, stays on the calling thread.
_UNTHREADED = 2**18


def apply(affine: Affine, x: Floats) -> Floats:
    """``weight @ x + bias``: ``[…, in, frames]`` to ``[…, out, frames]``."""
    y = product(affine.weight, x)
    y += affine.bias
    return y


def product(weight: Floats, x: Floats) -> Floats:
    """``weight @ x``, computed in blocks of columns.

    The tiles of a song are already distributed over threads. BLAS would distribute every product again, and its threads
    wait actively for each other: 50 % slower on an idle machine with two cores, and many times slower on a busy one.
    Blocks that are too small for that are not slower otherwise, because they stay in the cache.
    """
    y = np.empty((*x.shape[:-2], len(weight), x.shape[-1]), x.dtype)
    columns = max(1, _UNTHREADED // weight.size)
    whole = x.shape[-1] // columns * columns

    def in_blocks(z: Floats) -> Floats:
        blocks: Floats = z[..., :whole].reshape(*z.shape[:-1], -1, columns).swapaxes(-2, -3)
        return blocks

    np.matmul(weight, in_blocks(x), out=in_blocks(y))
    np.matmul(weight, x[..., whole:], out=y[..., whole:])
    return y


def normalise(norm: Norm, x: Floats) -> Floats:
    """LayerNorm over the channels of each frame."""
    y: Floats = x - x.mean(axis=-2, keepdims=True)
    variance = np.square(y).mean(axis=-2, keepdims=True)
    y /= np.sqrt(variance + _NORM_EPSILON)
    y *= norm.gain
    y += norm.bias
    return y


def feed_forward(layer: Layer, x: Floats) -> Floats:
    """LayerNorm, a wide map, gelu, and a map back to 24 channels."""
    return apply(layer.contract, gelu(apply(layer.expand, normalise(layer.after, x))))
