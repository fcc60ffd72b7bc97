"""Execution of stages on their device, with evaluated results.

MLX evaluates lazily. Timings of a stage that returned unevaluated arrays would be wrong, and such arrays can only be
evaluated by the thread that created them: so each stage evaluates its output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import mlx.core as mx
from allin1_core.contracts.stages import Task

D = TypeVar("D")
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class OnDevice(Generic[D, R]):
    """A stage's callable that computes on one device, independent of the default device.

    Attributes
    ----------
    call
        The implementation.
    device
        ``cpu`` or ``gpu``.
    """

    call: Callable[[D, Task], R]
    device: str

    def __call__(self, data: D, task: Task, /) -> R:
        """Run the stage."""
        with mx.stream(device_named(self.device)):
            result = self.call(data, task)
            arrays: tuple[str, ...] = getattr(type(result), "ARRAYS", ())
            mx.eval([a for a in (getattr(result, name) for name in arrays) if a is not None])
        return result

    def synchronize(self) -> None:
        """Wait until the device has finished."""
        mx.synchronize(mx.default_stream(device_named(self.device)))

    def close(self) -> None:
        """Release the resources of the stage."""
        close = getattr(self.call, "close", None)
        if close is not None:
            close()


def device_named(name: str) -> Any:
    """Return the MLX device of a kind, ``cpu`` or ``gpu``."""
    return mx.gpu if name.partition(":")[0] == "gpu" else mx.cpu


def compiled(function: Callable[..., Any], device: str) -> Callable[..., Any]:
    """Compile a function on a GPU.

    On a CPU, MLX would compile the graph with a C++ compiler, which takes seconds per function and is not faster.
    """
    return mx.compile(function) if device_named(device) == mx.gpu else function
