"""The level by which Demucs normalises a song: mean and standard deviation of its mono mix."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from allin1_core.errors import InputError
from torch import Tensor

#: Added to the standard deviation.
EPS = 1e-8


@dataclass(frozen=True, eq=False)
class Level:
    """The level by which a song is normalised.

    Attributes
    ----------
    samples
        Length of the song.
    mean
        Offset that is subtracted: float32 ``[]``.
    scale
        Divisor, after the subtraction: float32 ``[]``.
    """

    samples: int
    mean: Tensor
    scale: Tensor


def level_of(mix: Tensor) -> Level:
    """Measure a song in memory, float32 ``[2, n]``, as ``demucs.api.Separator`` does.

    Raises
    ------
    InputError
        The song contains values that are not finite.
    """
    mono = mix.mean(0)
    mean = mono.mean()
    # A single sample has no standard deviation.
    deviation = mono.std() if mix.shape[-1] > 1 else torch.zeros_like(mean)
    return _checked(Level(mix.shape[-1], mean, deviation + EPS))


def level_of_blocks(blocks: Iterable[Tensor], device: torch.device) -> Level:
    """Measure a song that comes in consecutive blocks, float32 ``[2, n]``, in double precision.

    Mean and sum of squared deviations of the blocks are combined according to Chan, Golub and LeVeque (*Updating
    Formulae and a Pairwise Algorithm for Computing Sample Variances*, 1979).

    Raises
    ------
    InputError
        The song contains values that are not finite, or no samples.
    """
    count, mean, squares = 0, 0.0, 0.0
    for block in blocks:
        mono = block.mean(0).cpu().double()  # MPS has no double precision
        more, own = len(mono), float(mono.mean())
        squares += float((mono - own).square().sum())
        squares += (own - mean) ** 2 * count * more / (count + more)
        mean += (own - mean) * more / (count + more)
        count += more
    if not count:
        raise InputError("The song contains no samples.")
    deviation = math.sqrt(squares / (count - 1)) if count > 1 else 0.0
    values = torch.tensor([mean, deviation + EPS], dtype=torch.float32, device=device)
    return _checked(Level(count, values[0], values[1]))


def _checked(level: Level) -> Level:
    if not bool(torch.isfinite(level.scale)):
        raise InputError("The song contains samples that are not finite.")
    return level
