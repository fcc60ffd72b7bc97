"""Moving arrays between NumPy, PyTorch in main memory, and PyTorch on a GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from allin1_backend_torch.waiting import arrival, wait_for_copies

#: Bytes that are copied to or from a GPU at once.
PIECE_BYTES = 16 << 20

#: Flag of ``cudaHostRegister``: for all devices.
_PORTABLE = 1

#: Number of buffers that are used in turn.
BUFFERS = 2


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
    return to_device(torch.from_numpy(array), device)


def to_numpy(tensor: Tensor, device: str = "cpu") -> NDArray[Any]:
    """Bring a tensor to NumPy; from main memory without a copy."""
    tensor = tensor.detach()
    array: NDArray[Any] = (fetch(tensor) if tensor.is_cuda else tensor.cpu()).numpy()
    return array


def to_device(tensor: Tensor, device: str) -> Tensor:
    """Move a tensor to another device."""
    wanted = torch.device(device)
    if tensor.is_cpu and wanted.type == "cuda":
        return send(tensor, wanted)
    if tensor.is_cuda and wanted.type == "cpu":
        return fetch(tensor)
    return tensor.to(wanted)


def send(tensor: Tensor, device: torch.device, piece_bytes: int = PIECE_BYTES) -> Tensor:
    """Copy a tensor from main memory, to a CUDA device through page-locked memory unless it is page-locked itself.

    As :func:`fetch` does, in the other direction. The copies may still be on their way when it returns; what follows on
    the device's current stream waits for them.

    Parameters
    ----------
    piece_bytes
        Most bytes at once.
    """
    flat = tensor.detach().contiguous().view(-1)
    out = torch.empty(flat.shape, dtype=flat.dtype, device=device)
    if flat.is_pinned():
        out.copy_(flat, non_blocking=True)
        arrival(device)()
        return out.view(tensor.shape)
    sent: list[Callable[[], None]] = []
    for piece, place, buffer in _in_turns(flat, out, piece_bytes):
        if len(sent) >= BUFFERS:
            sent[-BUFFERS]()  # then the buffer is free again
        buffer.copy_(piece)
        place.copy_(buffer, non_blocking=True)
        sent.append(arrival(device))
    return out.view(tensor.shape)


def page_lock(memory: NDArray[np.uint8]) -> Callable[[], None]:
    """Page-lock main memory for copies to CUDA devices, which then need no other memory in between.

    Returns
    -------
    callable
        Undoes it.

    Raises
    ------
    RuntimeError
        CUDA cannot page-lock it.
    """
    cuda: Any = torch.cuda  # PyTorch does not declare the type of this function
    runtime = cuda.cudart()
    address = memory.ctypes.data
    status = int(runtime.cudaHostRegister(address, memory.nbytes, _PORTABLE))
    if status:
        with contextlib.suppress(RuntimeError):
            torch.ones(1, device="cuda")  # CUDA reports the error once more, with the next kernel
        raise RuntimeError(f"cudaHostRegister returned error {status}")
    return lambda: runtime.cudaHostUnregister(address)


def fetch(tensor: Tensor, piece_bytes: int = PIECE_BYTES) -> Tensor:
    """Copy a tensor to main memory, from a CUDA device through page-locked memory.

    What is larger than a piece goes through two buffers in turn: while the device fills one, the other is emptied. So
    little memory is page-locked, which itself takes time, and PyTorch keeps it for the next copy.

    Parameters
    ----------
    piece_bytes
        Most bytes at once.
    """
    flat, device = tensor.contiguous().view(-1), tensor.device
    if flat.nbytes <= piece_bytes:
        small = torch.empty(flat.shape, dtype=flat.dtype, device="cpu", pin_memory=tensor.is_cuda)
        small.copy_(flat, non_blocking=True)
        wait_for_copies(device)
        return small.view(tensor.shape)
    out = torch.empty(flat.shape, dtype=flat.dtype, device="cpu")
    on_the_way: tuple[Tensor, Tensor, Callable[[], None]] | None = None
    for piece, place, buffer in _in_turns(flat, out, piece_bytes):
        buffer.copy_(piece, non_blocking=True)
        arrived = arrival(device)
        if on_the_way is not None:
            _arrive(*on_the_way)
        on_the_way = place, buffer, arrived
    if on_the_way is not None:
        _arrive(*on_the_way)
    return out.view(tensor.shape)


def _in_turns(
    source: Tensor, destination: Tensor, piece_bytes: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Cut flat tensors, of which one is on a device, into pieces; give each with its place, and a buffer for it.

    The buffers are used in turn, and page-locked for CUDA.
    """
    length = min(len(source), max(1, piece_bytes // source.element_size()))
    is_cuda = source.is_cuda or destination.is_cuda
    buffers: list[Tensor] = []
    for number, first in enumerate(range(0, len(source), max(1, length))):
        if len(buffers) < BUFFERS:
            buffer = torch.empty(length, dtype=source.dtype, device="cpu", pin_memory=is_cuda)
            buffers.append(buffer)
        piece = source[first : first + length]
        yield piece, destination[first : first + length], buffers[number % BUFFERS][: len(piece)]


def _arrive(place: Tensor, buffer: Tensor, arrived: Callable[[], None]) -> None:
    arrived()
    place.copy_(buffer)


class _Unlocked:
    """The memory of a read-only array, without the read-only flag."""

    def __init__(self, array: NDArray[Any]) -> None:
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface
        self.array = array  # keeps the memory alive
