"""Moving arrays between NumPy, PyTorch in main memory, and PyTorch on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from allin1_backend_torch.waiting import arrival, wait_for_copies

#: Bytes that are copied from a GPU at once.
PIECE_BYTES = 16 << 20


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
    """Bring a tensor to NumPy; from main memory without a copy."""
    tensor = tensor.detach()
    array: NDArray[Any] = (fetch(tensor) if tensor.is_cuda else tensor.cpu()).numpy()
    return array


def fetch(tensor: Tensor, piece_bytes: int = PIECE_BYTES) -> Tensor:
    """Copy a tensor to main memory, from a CUDA device through page-locked memory.

    What is larger than a piece goes through two buffers in turn: while the device fills one, the other is emptied. So
    little memory is page-locked, which itself takes time, and PyTorch keeps it for the next copy.

    Parameters
    ----------
    piece_bytes
        Most bytes at once.
    """
    flat, is_cuda = tensor.contiguous().view(-1), tensor.is_cuda
    if flat.nbytes <= piece_bytes:
        small = torch.empty(flat.shape, dtype=flat.dtype, pin_memory=is_cuda)
        small.copy_(flat, non_blocking=True)
        wait_for_copies(tensor.device)
        return small.view(tensor.shape)
    out = torch.empty(flat.shape, dtype=flat.dtype)
    length = max(1, piece_bytes // flat.element_size())
    buffers = [torch.empty(length, dtype=flat.dtype, pin_memory=is_cuda) for _ in range(2)]
    on_the_way: tuple[Tensor, Tensor, Callable[[], None]] | None = None
    for number, (piece, place) in enumerate(
        zip(_cut(flat, length), _cut(out, length), strict=True)
    ):
        buffer = buffers[number % 2][: len(piece)]
        buffer.copy_(piece, non_blocking=True)
        arrived = arrival(tensor.device)
        if on_the_way is not None:
            _arrive(*on_the_way)
        on_the_way = place, buffer, arrived
    if on_the_way is not None:
        _arrive(*on_the_way)
    return out.view(tensor.shape)


def _cut(flat: Tensor, length: int) -> list[Tensor]:
    return [flat[first : first + length] for first in range(0, len(flat), length)]


def _arrive(place: Tensor, buffer: Tensor, arrived: Callable[[], None]) -> None:
    arrived()
    place.copy_(buffer)


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
