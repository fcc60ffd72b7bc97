"""Compiling Triton kernels side by side before they are needed, as they have to be compiled."""

from __future__ import annotations

import functools
import importlib
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext

import torch

from allin1_backend_torch.triton_network.launching import Launch

_logger = logging.getLogger(__name__)

#: Most kernels that are compiled at once.
MOST_AT_ONCE = 64

_loading = threading.Lock()


def begin_loading(device: torch.device, module: str) -> None:
    """Start what precedes the first kernel of a backend on a GPU, in a thread: :func:`load`, and the import of its kernels.

    Failures are ignored, as they occur again where the kernels are compiled. On a CPU, where kernels are only interpreted,
    there is nothing to do.
    """

    def run() -> None:
        try:
            load(device)
            importlib.import_module(module)
        except Exception:  # whatever a compiler or a driver raises
            _logger.debug("loading Triton in advance failed", exc_info=True)

    if device.type == "cuda":
        # Not a daemon: a program that exits while a library is being imported would crash.
        threading.Thread(target=run, name="allin1-triton").start()


def load(device: torch.device) -> None:
    """Compile a kernel that does nothing, unless it was; where a thread is doing that, wait for it.

    For its first kernel, Triton hashes its own library of 0.5 GB, and asks for the version of its assembler. It keeps both,
    but threads that want their first kernels at the same time do it each: 37 of them took two seconds on 16 cores, where one
    takes 0.3.
    """
    with _loading:
        _load(device)


@functools.cache
def _load(device: torch.device) -> None:
    # Here, because this imports Triton.
    from allin1_backend_torch.triton_nothing import nothing

    with current(device):
        Launch(nothing, (1,), (0,)).compile()


def compile_kernels(launches: Iterable[Launch], device: torch.device, what: str) -> None:
    """Compile every kernel for a device, or load it from Triton's cache on disk.

    Parameters
    ----------
    launches
        With each variant of each kernel at least once.
    what
        What is compiled, for a message where it takes long.
    """
    kernels = {launch.variant: launch for launch in launches}
    load(device)

    def compile_one(launch: Launch) -> None:
        with current(device):  # which holds for one thread only
            launch.compile()

    began = time.monotonic()
    told = began
    threads = min(len(kernels), MOST_AT_ONCE)
    with without_warp_group_products(), ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(compile_one, launch) for launch in kernels.values()]
        for done, compiled in enumerate(as_completed(waiting), 1):
            compiled.result()
            now = time.monotonic()
            if now - told > (2 if told == began else 5) and done < len(waiting):
                told = now
                _logger.warning(
                    "Triton compiles %s for this GPU, which it does once: %d of %d kernels in %.0f s.",
                    *(what, done, len(waiting), now - began),
                )


def current(device: torch.device) -> torch.cuda.device | nullcontext[None]:
    """Make a GPU the one that Triton launches on; nothing where Triton only interprets, on a CPU."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


@contextmanager
def without_warp_group_products() -> Iterator[None]:
    """Keep Triton from Hopper's ``wgmma`` instructions while it compiles.

    With them Triton 3.6 made kernels of the network that gave wrong logits (off by 2.5), or read where they may not,
    perhaps for what is its issue 11366; with ``mma.sync`` all are right. The variable is part of the key of Triton's cache
    on disk, though not in memory.
    """
    name = "DISABLE_MMA_V3"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
