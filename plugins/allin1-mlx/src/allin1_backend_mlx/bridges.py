"""Moving arrays between NumPy and MLX.

MLX arrays are in memory that CPU and GPU share, so one pair of functions serves both devices, and an array on the
"CPU" is also on the "GPU".
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray


def from_numpy(array: NDArray[Any], device: str) -> mx.array:
    """Move an array to MLX, without a copy if MLX can use the same memory (which it decides)."""
    if any(stride < 0 for stride in array.strides):
        array = np.ascontiguousarray(array)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    with mx.stream(mx.cpu):
        # Older versions of NumPy do not export read-only memory.
        moved = mx.asarray(array) if array.flags.writeable else mx.array(array)
        mx.eval(moved)
    return moved


def to_numpy(array: mx.array, device: str = "cpu") -> NDArray[Any]:
    """Move an array to NumPy without a copy."""
    mx.eval(array)
    return np.asarray(array)


def between_devices(array: mx.array, device: str) -> mx.array:
    """Move an array between CPU and GPU; it is evaluated, because the next operation may run on another stream."""
    mx.eval(array)
    return array
