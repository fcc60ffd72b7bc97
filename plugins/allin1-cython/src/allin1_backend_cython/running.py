"""Instruction set and threads of these backends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from allin1_backend_cython._isa import instruction_sets
from allin1_core.errors import BackendError

#: Environment variable that names the instruction set to use, for tests and benchmarks.
ISA_VARIABLE = "ALLIN1_CYTHON_ISA"

#: Number of parts of the work per thread, to balance the load.
PARTS = 4

#: Calls a function with consecutive ranges that cover the given number of items.
Share = Callable[[Callable[[int, int], None], int], None]


def instruction_set(name: str | None = None) -> str:
    """Return `name`, or the value of the environment variable, or the fastest one that the processor supports.

    Raises
    ------
    BackendError
        The processor does not support it.
    """
    name = name or os.environ.get(ISA_VARIABLE)
    available = instruction_sets()
    if name and name not in available:
        raise BackendError(
            f"This processor does not support the instruction set {name!r}.",
            remedy=f"Use one of {', '.join(available)}, or leave {ISA_VARIABLE} unset.",
        )
    return name or available[0]


def thread_count(threads: int | None) -> int:
    """Return `threads`, or the number of processors that this process may use."""
    if threads:
        return threads
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def sharing(threads: int) -> Iterator[Share]:
    """Within the block, have this many threads; yields a function that shares out work among them."""
    if threads == 1:
        yield lambda work, count: work(0, count)
        return
    with ThreadPoolExecutor(threads) as pool:

        def share(work: Callable[[int, int], None], count: int) -> None:
            edges = np.linspace(0, count, min(count, threads * PARTS) + 1).astype(int).tolist()
            for _ in pool.map(work, edges[:-1], edges[1:]):
                pass

        yield share
