"""How many segments are separated at once, unless the user says so."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from allin1_backend_torch.demix_models import Bag
from allin1_backend_torch.demix_parameters import is_supported

#: Maximum number of segments at once: more give little speed-up on the largest GPUs, and cost 0.2 GB each.
GPU_BATCH = 32

#: Number of multiprocessors of a GPU per segment: so a batch takes about as long on a small GPU, and progress is smooth.
MULTIPROCESSORS_A_SEGMENT = 4

#: Maximum number of segments at once on a CPU. With more threads, several compute each segment.
CPU_BATCH = 32

#: Bytes of main memory that each segment on a CPU takes, of which all together get half.
SEGMENT_BYTES = 400_000_000

#: Where Linux tells the limit of a container, with versions 2 and 1 of control groups.
CONTAINER_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)

UNLIMITED = 2**63


def usual_batch(device: torch.device, bag: Bag, threads: int | None = None) -> int:
    """Return the default number of segments to separate at once.

    On a CPU, it does not depend on what other programs need at the moment, so that a song has the same stems each time.

    Parameters
    ----------
    device
        Device of the separation.
    bag
        The models.
    threads
        Number of CPU threads; None for the default of PyTorch.
    """
    if device.type == "cuda":
        count = torch.cuda.get_device_properties(device).multi_processor_count
        return int(min(GPU_BATCH, max(1, count // MULTIPROCESSORS_A_SEGMENT)))
    # Demucs' own modules draw from Python's global random numbers, and so run one by one.
    if device.type != "cpu" or not all(is_supported(model) for model in bag.models):
        return 1
    threads = torch.get_num_threads() if threads is None else threads
    return min(threads, CPU_BATCH, max(1, main_memory() // 2 // SEGMENT_BYTES))


def main_memory() -> int:
    """Return the number of bytes of main memory of this machine or container; as if unlimited if unknown."""
    return min([_of_machine(), *(_of_container(path) for path in CONTAINER_LIMITS)])


def _of_machine() -> int:
    try:
        pages = os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # on Windows, there is no such function
        return UNLIMITED
    return pages * os.sysconf("SC_PAGE_SIZE") if pages > 0 else UNLIMITED


def _of_container(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # there is no such file, or it says "max"
        return UNLIMITED
