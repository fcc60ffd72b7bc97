"""How this plugin computes: without gradients, in true float32, on as many threads as it was given."""

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
    """Calls a function with each of several items, in any order, and returns when all are done."""

    def __call__(self, function: Callable[[T], None], items: Sequence[T], /) -> None:
        """Call `function` with each of `items`."""


def thread_count(device: torch.device, threads: int | None) -> int:
    """Threads to divide work among: `threads`, or PyTorch's own number; 1 where a GPU does the work."""
    if device.type != "cpu":
        return 1
    return torch.get_num_threads() if threads is None else threads


def spans(frames: int, most: int, threads: int = 1) -> list[Span]:
    """Cut a song into equal parts of up to `most` frames, as many for each thread."""
    parts = math.ceil(frames / most / threads) * threads
    length = math.ceil(frames / parts)
    return [(first, min(first + length, frames)) for first in range(0, frames, length)]


@contextmanager
def running(threads: int) -> Iterator[Each]:
    """Compute inside, with the yielded function for what can be done side by side.

    On a CPU the parts of a song are shared out, each to a thread that computes alone. That costs a
    meeting of the threads a layer, where PyTorch's own way costs one an operation, thousands in all,
    each of which waits for the slowest core. Settings of PyTorch that have to differ meanwhile are put
    back afterwards.

    What is made inside are inference tensors, which autograd and in-place operations outside refuse:
    make the tensors to be returned before entering, and fill them inside.
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
            with torch.inference_mode():  # which holds for one thread only
                function(item)

        for _ in pool.map(call, items):
            pass

    return each


def _compute_alone(pool: ThreadPoolExecutor, threads: int) -> None:
    """Tell each of the pool's threads to run PyTorch's operations by itself."""
    before = torch.get_num_threads()
    everyone = threading.Barrier(threads)

    def settle(_: int) -> None:
        torch.get_num_threads()  # a thread's first look would undo what it was told before
        torch.set_num_threads(1)
        everyone.wait()

    for _ in pool.map(settle, range(threads)):
        pass
    # The setting is a thread's own, but also becomes that of threads yet to be made.
    torch.set_num_threads(before)


@contextmanager
def _true_float32() -> Iterator[None]:
    """Keep TensorFloat-32 and bfloat16 out of float32 products, whatever the process has allowed."""
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
