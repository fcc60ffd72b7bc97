"""A launch as data, to be compiled ahead or run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class Launch:
    """A kernel with its arguments.

    Attributes
    ----------
    kernel
        A function that Triton compiles.
    grid
        Number of programs along up to three axes.
    arguments
        Arguments in order.
    options
        Compile-time constants, and compiler options: ``num_warps``, ``num_stages``, ``maxnreg``.
    """

    kernel: Any
    grid: tuple[int, ...]
    arguments: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def run(self) -> None:
        """Launch the kernel on the current device and stream."""
        self.kernel[self.grid](*self.arguments, **self.options)

    def compile(self) -> None:
        """Compile the kernel for the current device, or load it from Triton's cache on disk."""
        self.kernel.warmup(*self.arguments, grid=self.grid, **self.options)

    @property
    def variant(self) -> tuple[Any, ...]:
        """What is compiled anew where it differs."""
        numbers = [
            (parameter.name, value == 1, value % 16 == 0)
            for parameter, value in zip(self.kernel.params, self.arguments, strict=False)
            if isinstance(value, int) and not parameter.do_not_specialize
        ]
        return (self.kernel, *numbers, *sorted(self.options.items()))
