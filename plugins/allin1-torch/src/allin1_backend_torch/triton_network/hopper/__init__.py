"""Faster kernels for NVIDIA's Hopper GPUs, in place of some of those in plain Triton.

They are written in Gluon, the lower level of Triton, which leaves layouts and shared memory to the programmer.

=======================  =============================================================================
``products``             shared parts: matrices in shared memory, products of halves with ``wgmma``
``second_convolution``   in place of the second convolution of ``front_end``
``time_attention``       in place of ``time_attention``
``time_mlp``             in place of ``time_mlp``
=======================  =============================================================================

In plain Triton, each program reads the matrices again, and each product moves its rows through shared memory. Here a program
is *persistent*: it copies the matrices of a member into shared memory once, and then processes one tile after the other. The
rows of a product come from registers, in the layout in which the previous product left them.

The instrument layer gained less than 6 % from this on an H200, and remains in plain Triton. Half precision has not been
tried. Importing this package imports neither Triton nor the kernels.
"""

from __future__ import annotations

import logging

import torch

_logger = logging.getLogger(__name__)

#: The oldest release of Triton that these kernels have been compiled with.
_TRITON = (3, 6)

#: Programs of a persistent kernel on a multiprocessor: as many as its registers and shared memory have room for.
_ON_A_MULTIPROCESSOR = 2


def resident_programs(device: torch.device, exact: bool) -> int:
    """Number of programs of a persistent kernel that run at once; 0 where the kernels in plain Triton are to be used."""
    if not exact or device.type != "cuda" or torch.cuda.get_device_capability(device)[0] != 9:
        return 0
    import triton  # here, as the module must be importable without it

    if tuple(int(part) for part in triton.__version__.split(".")[:2]) < _TRITON:
        _logger.info("The network's kernels for Hopper GPUs need Triton %d.%d or later.", *_TRITON)
        return 0
    multiprocessors: int = torch.cuda.get_device_properties(device).multi_processor_count
    return _ON_A_MULTIPROCESSOR * multiprocessors


def persistent_grid(programs: int, members: int, tiles: int) -> tuple[int, int]:
    """Grid of a persistent kernel: programs that share the `tiles` of a member, and members.

    Parameters
    ----------
    programs
        Number of programs that run at once.
    members
        Number of members.
    tiles
        Number of tiles of a member.
    """
    return max(1, min(programs // members, tiles)), members
