"""Settings of this plugin's computations: no gradients, true float32, and the given number of threads.

The parts of parallel work each run in one thread, with a share of PyTorch's own threads.
"""

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
            before = torch.get_num_threads()
            pool = stack.enter_context(ThreadPoolExecutor(threads))
            _divide(pool, threads, 1)
            # The setting applies to one thread, but also becomes the default of new threads.
            torch.set_num_threads(before)
            yield _shared_out(pool)


@contextmanager
def side_by_side(count: int) -> Iterator[Each]:
    """Within the block, divide PyTorch's threads among this many items; yields a function that computes them at once.

    There are at most as many items at once as there are threads. The other settings remain, also in the threads, and the
    number of threads is restored afterwards.
    """
    threads = torch.get_num_threads()
    workers = min(count, threads)
    if workers <= 1:
        yield _in_turn
        return
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, threads)
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        _divide(pool, workers, threads // workers)
        yield _shared_out(pool)


class AbandonedError(Exception):
    """A part of parallel work is not needed any more, because another one failed or the caller was interrupted."""


def go_on() -> None:
    """Raise :class:`AbandonedError` if what this thread computes is not needed any more.

    Long parts of parallel work call this, so that an interrupt does not wait for them.
    """
    abandoned: threading.Event | None = getattr(_this_thread, "abandoned", None)
    if abandoned is not None and abandoned.is_set():
        raise AbandonedError


_this_thread = threading.local()


def _in_turn(function: Callable[[T], None], items: Sequence[T], /) -> None:
    for item in items:
        function(item)


def _shared_out(pool: ThreadPoolExecutor) -> Each:
    def each(function: Callable[[T], None], items: Sequence[T], /) -> None:
        abandoned = threading.Event()

        def call(item: T) -> None:
            _this_thread.abandoned = abandoned
            with torch.inference_mode():  # applies to one thread only
                function(item)

        try:
            for _ in pool.map(call, items):
                pass
        except BaseException:
            abandoned.set()
            raise

    return each


def _divide(pool: ThreadPoolExecutor, workers: int, threads: int) -> None:
    """Give each thread of the pool so many of PyTorch's own; one disables its parallelism."""
    everyone = threading.Barrier(workers)

    def settle(_: int) -> None:
        torch.get_num_threads()  # the first call in a thread would undo an earlier setting
        torch.set_num_threads(threads)
        everyone.wait()

    for _ in pool.map(settle, range(workers)):
        pass


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
