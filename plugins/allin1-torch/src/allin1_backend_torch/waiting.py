"""Waiting for a device, for correct timings: a GPU continues to compute after a call has returned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from allin1_core.contracts.stages import Task

D = TypeVar("D")
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Waiting(Generic[D, R]):
    """A stage's callable that can be waited for.

    Attributes
    ----------
    call
        The implementation.
    device
        Device to run on.
    """

    call: Callable[[D, Task], R]
    device: torch.device

    def __call__(self, data: D, task: Task, /) -> R:
        """Run the stage, or start it on a GPU."""
        return self.call(data, task)

    def synchronize(self) -> None:
        """Wait until the device has finished."""
        wait_for(self.device)


def wait_for(device: torch.device) -> None:
    """Wait until a device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def wait_for_copies(device: torch.device) -> None:
    """Return when what was started on a device's current stream is done, such as copies from it."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()


def arrival(device: torch.device) -> Callable[[], None]:
    """Give what waits until all that was started so far on a device's current stream is done, and no longer."""
    if device.type != "cuda":
        return lambda: None
    wait: Callable[[], None] = torch.cuda.current_stream(device).record_event().synchronize
    return wait
