"""Moving arrays between NumPy, PyTorch in main memory, and PyTorch on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def from_numpy(array: NDArray[Any], device: str) -> Tensor:
    """Move an array to a device; to ``cpu`` without a copy if PyTorch can use the same memory.

    A tensor cannot be read-only, so one that shares the memory of a read-only array must not be written
    to. Nothing in this plugin writes to its input.
    """
    if any(stride < 0 or stride % array.itemsize for stride in array.strides):
        array = np.ascontiguousarray(array)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not array.flags.writeable:
        array = np.asarray(_Unlocked(array))  # PyTorch warns about read-only arrays
    return torch.from_numpy(array).to(device)


def to_numpy(tensor: Tensor, device: str = "cpu") -> NDArray[Any]:
    """Move a tensor to NumPy; from main memory without a copy."""
    array: NDArray[Any] = tensor.detach().cpu().numpy()
    return array


def to_device(tensor: Tensor, device: str) -> Tensor:
    """Move a tensor to another device."""
    return tensor.to(device)


class _Unlocked:
    """The memory of a read-only array, without the read-only flag."""

    def __init__(self, array: NDArray[Any]) -> None:
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface
        self.array = array  # keeps the memory alive
