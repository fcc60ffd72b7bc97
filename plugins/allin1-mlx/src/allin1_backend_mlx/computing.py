"""How this plugin computes: on the device it was given, and done when a stage returns.

MLX computes when it is asked for a value. A stage that returned promises would be timed by what it had not done, and
an array that is not computed yet can only be computed by the thread that asked for it: so each stage evaluates
what it returns.
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
    """A stage's callable that computes on one device, whatever the program's default is.

    Attributes
    ----------
    call
        What it does.
    device
        ``cpu`` or ``gpu``.
    """

    call: Callable[[D, Task], R]
    device: str

    def __call__(self, data: D, task: Task, /) -> R:
        """Do the stage's work."""
        with mx.stream(device_named(self.device)):
            result = self.call(data, task)
            arrays: tuple[str, ...] = getattr(type(result), "ARRAYS", ())
            mx.eval([a for a in (getattr(result, name) for name in arrays) if a is not None])
        return result

    def synchronize(self) -> None:
        """Return when the device has finished."""
        mx.synchronize(mx.default_stream(device_named(self.device)))

    def close(self) -> None:
        """Release what the stage holds."""
        close = getattr(self.call, "close", None)
        if close is not None:
            close()


def device_named(name: str) -> Any:
    """MLX's name of a kind of device."""
    return mx.gpu if name.partition(":")[0] == "gpu" else mx.cpu


def compiled(function: Callable[..., Any], device: str) -> Callable[..., Any]:
    """Compile a function on a GPU.

    On a CPU a graph would be compiled by a C++ compiler, for seconds a function, and run no faster.
    """
    return mx.compile(function) if device_named(device) == mx.gpu else function
