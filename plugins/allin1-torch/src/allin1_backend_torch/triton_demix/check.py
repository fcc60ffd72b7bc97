"""A small forward pass against PyTorch's own operations, before the kernels are trusted."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from allin1_core.errors import BackendError
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from allin1_backend_torch.demix_precision import Precision

#: Largest difference allowed, as a part of the largest value. Half precision and TensorFloat-32 round both sides.
TOLERANCES: dict[Precision, float] = {"float32": 1e-4, "tf32": 2e-2, "float16": 5e-2}


def noise(samples: int, device: torch.device) -> Tensor:
    """A segment about as large as normalised music, made by a seed: float32 ``[1, 2, samples]``."""
    rng = torch.Generator().manual_seed(20)
    return torch.randn(1, 2, samples, generator=rng, dtype=torch.float32).to(device)


def attention_that_is_ready() -> AbstractContextManager[None]:
    """Within the block, attention is computed without cuDNN, which compiles a kernel for each new shape.

    That of a single segment is one that songs do not have, so that its kernels, which take 0.3 s, would serve the set-up only.
    """
    ready = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    chosen: AbstractContextManager[None] = sdpa_kernel(ready)
    return chosen


def check(
    forward: Callable[[Tensor], Tensor],
    plain: Callable[[Tensor], Tensor],
    segment: Tensor,
    precision: Precision,
) -> None:
    """Compare what `forward` makes of a segment with what `plain` makes of it.

    Raises
    ------
    BackendError
        They differ by more than the precision explains, or are no numbers.
    """
    wanted, given = plain(segment), forward(segment)
    largest = wanted.abs().max().item()
    difference = (given - wanted).abs().max().item()
    if not (difference <= TOLERANCES[precision] * largest and math.isfinite(difference)):
        raise BackendError(
            f"The separation's kernels give wrong stems on this machine: they differ by {difference:.2g}, the"
            f" largest value being {largest:.2g}.",
            remedy="Another version of Triton may compile them rightly; the backend torch-cuda does not need it.",
        )
