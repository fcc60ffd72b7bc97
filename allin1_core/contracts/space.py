"""The space of an array: its library and its kind of device."""

from __future__ import annotations

from dataclasses import dataclass

from allin1_core.contracts.rules import Amount, Rate, Target, Word


@dataclass(frozen=True, order=True)
class Space:
    """A library of arrays and a kind of device.

    >>> str(Space("torch", "cuda"))
    'torch/cuda'

    Attributes
    ----------
    library
        Import name of the array library: ``numpy``, ``torch``, ``mlx``.
    device
        Kind of device without an index: ``cpu``, ``cuda``, ``mps``, ``gpu``.
    """

    library: Word
    device: Word

    def __str__(self) -> str:
        return f"{self.library}/{self.device}"


#: NumPy arrays in main memory: where every run starts and ends.
HOST = Space("numpy", "cpu")


@dataclass(frozen=True)
class Bridge:
    """A way to move an array from one space to another.

    Attributes
    ----------
    source, destination
        The two spaces.
    target
        ``"package.module:function"``; the function takes an array and the name of the destination's
        device (``"cuda:1"``) and returns the array there. Imported only when it is used.
    bytes_per_second
        Prior of the bandwidth; infinite if nothing is copied.
    latency_s
        Seconds for an empty transfer.
    page_lock
        ``"package.module:function"`` of a function that page-locks main memory, for a bridge that then moves arrays from it
        faster. It takes all bytes of the memory (uint8 ``[n]``), in which one array after another is going to be, and returns
        a function without arguments that undoes it, which is called by any thread before the memory is released.
    """

    source: Space
    destination: Space
    target: Target
    bytes_per_second: Rate = float("inf")
    latency_s: Amount = 0.0
    page_lock: Target | None = None
