"""How rows and channels are cut up for programs, and sums of parts."""

from __future__ import annotations

from torch import Tensor

from allin1_backend_torch.triton_demix.arithmetic import MOST_PARTS


def few_parts(sums: Tensor) -> Tensor:
    """Add up sums of parts, float32 ``[rows, parts, 2]``, where kernels would have to read too many."""
    return sums if sums.shape[1] <= MOST_PARTS else sums.sum(1, keepdim=True)


def power_of_two(least: int, of: int) -> int:
    """The smallest power of two that is at least `of`, and at least `least`, which is one."""
    return max(least, 1 << (of - 1).bit_length())


def chunk(channels: int, most: int = 64) -> int:
    """Channels to go through at a time: a power of two that divides them, or, of few, all at once with padding."""
    if channels <= most:
        return power_of_two(16, channels)
    largest = channels & -channels
    return min(most, largest) if largest >= 16 else most
