"""How a song is cut into overlapping segments and put together again, as ``demucs.apply.apply_model`` does it.

Times are samples, counted from the song's first. Before the first and after the last there is silence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import torch
from allin1_core.contracts.audio import SAMPLE_RATE
from torch import Tensor

#: A shift is drawn from 0 to this, both included: half a second.
MOST_SHIFT = SAMPLE_RATE // 2


@dataclass(frozen=True)
class Cut:
    """How one model wants a song cut.

    Attributes
    ----------
    segment
        Length of a segment.
    stride
        From the start of a segment to that of the next.
    window
        Length of what the model is given, for a segment of a length: the last ones are shorter.
    """

    segment: int
    stride: int
    window: Callable[[int], int]


@dataclass(frozen=True)
class Segment:
    """A part of the song.

    Attributes
    ----------
    start, length
        What is estimated.
    window_start, window
        What the model is given, with the segment in its middle.
    """

    start: int
    length: int
    window_start: int
    window: int

    @property
    def margin(self) -> int:
        """Samples of the window before the segment."""
        return self.start - self.window_start


def segments(first: int, samples: int, cut: Cut) -> list[Segment]:
    """Cut the song from `first`, at or before its start, to its end."""
    result = []
    for start in range(first, samples, cut.stride):
        length = min(cut.segment, samples - start)
        window = cut.window(length)
        result.append(Segment(start, length, start - (window - length) // 2, window))
    return result


def draw_starts(
    samples: int, shifts: int, seed: int, cuts: list[tuple[Cut, bool]]
) -> list[list[int]]:
    """Draw where each model starts to cut the song, once for each shift.

    Parameters
    ----------
    samples
        Length of the song.
    shifts
        How many to draw for a model; with 0, the one start is that of the song.
    seed
        Of Python's generator, whose sequence Demucs draws from.
    cuts
        For each model, and whether it draws a number itself for each segment, as transformers do for a
        random shift of their positions, which in trained models is always 0.
    """
    if not shifts:
        return [[0] for _ in cuts]
    random = Random(seed)
    starts = []
    for cut, draws in cuts:
        own = []
        for _ in range(shifts):
            own.append(random.randint(0, MOST_SHIFT) - MOST_SHIFT)
            if draws:
                for _ in range(own[-1], samples, cut.stride):
                    random.randrange(1)
        starts.append(own)
    return starts


def triangle(length: int, device: torch.device) -> Tensor:
    """Weights of a segment in the cross-fade: float32 ``[length]``, 1 in the middle."""
    rising = torch.arange(1, length // 2 + 1, device=device)
    falling = torch.arange(length - length // 2, 0, -1, device=device)
    weights = torch.cat([rising, falling])
    return weights.to(torch.float32) / weights.max()


def total_weight(parts: list[Segment], weights: Tensor) -> Tensor:
    """Sum of the weights of all segments at each sample from the first segment's start: float32 ``[n]``."""
    first, end = parts[0].start, parts[-1].start + parts[-1].length
    total = torch.zeros(end - first, dtype=torch.float32, device=weights.device)
    for part in parts:
        total[part.start - first : part.start - first + part.length] += weights[: part.length]
    return total


def windows(mix: Tensor, parts: list[Segment], mean: Tensor, scale: Tensor) -> Tensor:
    """Take the windows of segments out of a song, normalised: float32 ``[segments, channels, window]``.

    The silence around the song is 0 after normalisation, not before.
    """
    samples = mix.shape[-1]
    taken = torch.zeros(
        len(parts), mix.shape[0], parts[0].window, dtype=torch.float32, device=mix.device
    )
    for row, part in zip(taken, parts, strict=True):
        start, end = max(0, part.window_start), min(samples, part.window_start + part.window)
        if start < end:
            inside = row[:, start - part.window_start : end - part.window_start]
            torch.sub(mix[:, start:end], mean, out=inside)
            inside /= scale
    return taken
