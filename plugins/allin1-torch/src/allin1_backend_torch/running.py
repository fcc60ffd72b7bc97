"""Settings of this plugin's computations: no gradients, true float32, and the given number of threads."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Protocol, TypeVar

import torch

T = TypeVar("T")

#: Frames from the first to before the second.
Span = tuple[int, int]


class Each(Protocol):
    """Calls a function with each of several items, in any order, and waits for all."""

    def __call__(self, function: Callable[[T], None], items: Sequence[T], /) -> None:
        """Call `function` with each of `items`."""


def thread_count(device: torch.device, threads: int | None) -> int:
    """Number of threads to use: `threads`, or that of PyTorch; 1 for a GPU."""
    if device.type != "cpu":
        return 1
    return torch.get_num_threads() if threads is None else threads


def spans(frames: int, most: int, threads: int = 1) -> list[Span]:
    """Split a song into equal parts of at most `most` frames, the same number for each thread."""
    parts = math.ceil(frames / most / threads) * threads
    length = math.ceil(frames / parts)
    return [(first, min(first + length, frames)) for first in range(0, frames, length)]


@contextmanager
def running(threads: int) -> Iterator[Each]:
    """Within the block, compute with these settings; yields a function for parallel work.

    On a CPU, the parts of a song are distributed among threads that each compute independently. The threads then
    synchronise once per layer, while with PyTorch's own parallelism they would synchronise once per operation,
    thousands of times, each time waiting for the slowest core. Changed settings of PyTorch are restored afterwards.

    Tensors created in the block are inference tensors, which autograd and in-place operations outside refuse:
    create tensors to be returned before entering, and fill them in the block.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(_true_float32())
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        if threads == 1:
            torch.set_num_threads(1)
            yield _in_turn
        else:
            pool = stack.enter_context(ThreadPoolExecutor(threads))
            _compute_alone(pool, threads)
            yield _shared_out(pool)


def _in_turn(function: Callable[[T], None], items: Sequence[T], /) -> None:
    for item in items:
        function(item)


def _shared_out(pool: ThreadPoolExecutor) -> Each:
    def each(function: Callable[[T], None], items: Sequence[T], /) -> None:
        def call(item: T) -> None:
            with torch.inference_mode():  # applies to one thread only
                function(item)

        for _ in pool.map(call, items):
            pass

    return each


def _compute_alone(pool: ThreadPoolExecutor, threads: int) -> None:
    """Disable PyTorch's own parallelism in each thread of the pool."""
    before = torch.get_num_threads()
    everyone = threading.Barrier(threads)

    def settle(_: int) -> None:
        torch.get_num_threads()  # the first call in a thread would undo an earlier setting
        torch.set_num_threads(1)
        everyone.wait()

    for _ in pool.map(settle, range(threads)):
        pass
    # The setting applies to one thread, but also becomes the default of new threads.
    torch.set_num_threads(before)


@contextmanager
def _true_float32() -> Iterator[None]:
    """Within the block, disable TensorFloat-32 and bfloat16 for float32 products."""
    cuda, cpu = torch.backends.cuda.matmul, torch.backends.mkldnn
    if hasattr(cpu, "matmul") and hasattr(cuda, "fp32_precision"):  # PyTorch 2.9 and later
        allowed = cuda.fp32_precision, cpu.matmul.fp32_precision
        cuda.fp32_precision = cpu.matmul.fp32_precision = "ieee"
        try:
            yield
        finally:
            cuda.fp32_precision, cpu.matmul.fp32_precision = allowed
    else:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)
