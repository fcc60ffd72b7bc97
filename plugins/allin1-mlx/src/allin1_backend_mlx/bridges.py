"""Moving arrays between NumPy and MLX.

An MLX array lies in memory that CPU and GPU share, so one pair of functions serves both, and an array that is
on the "CPU" is on the "GPU" as well.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray


def from_numpy(array: NDArray[Any], device: str) -> mx.array:
    """Bring an array to MLX, without a copy where MLX can use the memory as it lies (which it decides)."""
    if any(stride < 0 for stride in array.strides):
        array = np.ascontiguousarray(array)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    with mx.stream(mx.cpu):
        # Older versions of NumPy do not hand out memory that is read-only.
        moved = mx.asarray(array) if array.flags.writeable else mx.array(array)
        mx.eval(moved)
    return moved


def to_numpy(array: mx.array, device: str = "cpu") -> NDArray[Any]:
    """Bring an array to NumPy without a copy."""
    mx.eval(array)
    return np.asarray(array)


def between_devices(array: mx.array, device: str) -> mx.array:
    """Bring an array from a CPU to a GPU or back: finished, because who takes it may be another stream."""
    mx.eval(array)
    return array
