"""Compiling Triton kernels side by side before they are needed, as they have to be compiled."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext

import torch

from allin1_backend_torch.triton_network.launching import Launch

_logger = logging.getLogger(__name__)

#: Most kernels that are compiled at once.
MOST_AT_ONCE = 64


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
