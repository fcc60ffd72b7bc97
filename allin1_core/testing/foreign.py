"""A foreign array library on a fictitious device, to detect implicit device transfers.

On a machine without an accelerator, every array converts to NumPy silently, and only users would notice a missing bridge.
A :class:`ForeignArray` refuses implicit conversions: its values are only accessible through :func:`upload` and
:func:`download`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from allin1_core.contracts.arrays import move_arrays
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.contracts.stages import Task

#: The space of :class:`ForeignArray`.
FOREIGN = Space("allin1_core", "npu")

_MODULE = "allin1_core.testing.foreign"

#: Bridges to the foreign space and back, as a plugin would declare them.
BRIDGES = (
    Bridge(HOST, FOREIGN, f"{_MODULE}:upload", bytes_per_second=8e9, latency_s=1e-4),
    Bridge(FOREIGN, HOST, f"{_MODULE}:download", bytes_per_second=8e9, latency_s=1e-4),
)


class ForeignArray:
    """An array with a public shape and type, and private values."""

    device = "npu"

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self._values = values
        self.shape = values.shape
        self.dtype = values.dtype

    def _refuse(self, *_: object, **__: object) -> Any:
        raise TypeError("an array on the device npu was converted without a bridge")

    __array__ = _refuse
    __getitem__ = _refuse
    __iter__ = _refuse
    __float__ = _refuse


def upload(array: np.ndarray[Any, Any], device: str) -> ForeignArray:
    """Move a NumPy array to the device."""
    assert isinstance(array, np.ndarray), type(array)
    assert device.partition(":")[0] == FOREIGN.device, device
    return ForeignArray(np.array(array))


def download(array: ForeignArray, device: str) -> np.ndarray[Any, Any]:
    """Move an array of the device to NumPy."""
    assert isinstance(array, ForeignArray), type(array)
    assert device == HOST.device, device
    return np.array(array._values)


def on_foreign(call: Callable[[Any, Task], Any]) -> Callable[[Any, Task], Any]:
    """Convert a stage's callable on NumPy arrays into one that takes and returns foreign arrays.

    Like a kernel on the device, only it may access the values.
    """

    def run(data: Any, task: Task) -> Any:
        values = move_arrays(data, lambda array: download(array, HOST.device))
        return move_arrays(call(values, task), lambda array: upload(array, FOREIGN.device))

    return run
