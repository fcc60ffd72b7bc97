"""Cutting of a song into overlapping segments, and their cross-fade, as in ``demucs.apply.apply_model``.

Times are in samples from the start of the song. Before its first and after its last sample, there is silence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import torch
from allin1_core.contracts.audio import SAMPLE_RATE
from torch import Tensor

from allin1_backend_torch.demix_level import Level

#: Maximum of a random shift, inclusive: half a second.
MOST_SHIFT = SAMPLE_RATE // 2


@dataclass(frozen=True)
class Cut:
    """How a song is cut for one model.

    Attributes
    ----------
    segment
        Length of a segment.
    stride
        Distance of the starts of consecutive segments.
    window
        Returns the length of the model's input for a segment of some length, as the last ones are shorter.
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
        The part that is estimated.
    window_start, window
        The input of the model, with the segment in its middle.
    """

    start: int
    length: int
    window_start: int
    window: int

    @property
    def margin(self) -> int:
        """Number of samples of the window before the segment."""
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
    """Draw the start of the first segment, for each model and shift.

    Parameters
    ----------
    samples
        Length of the song.
    shifts
        Number of starts per model; with 0, the only start is that of the song.
    seed
        Seed of Python's generator, which Demucs draws from.
    cuts
        For each model, the cut, and whether the model itself draws a number for each segment, as transformers do
        for a random shift of their positions, which is always 0 in trained models.
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
    """Unnormalised weights of a segment in the cross-fade: float32 ``[length]``, 1 in the middle."""
    rising = torch.arange(1, length // 2 + 1, device=device)
    falling = torch.arange(length - length // 2, 0, -1, device=device)
    weights = torch.cat([rising, falling])
    return weights.to(torch.float32) / weights.max()


def share_of(parts: Sequence[Segment], index: int, fade: Tensor) -> Tensor:
    """Normalised weights of a segment, such that those of all segments sum to 1: float32 ``[length]``.

    Parameters
    ----------
    parts
        All segments of a song, in order.
    index
        Index of the segment.
    fade
        Weights of a whole segment in the cross-fade.
    """
    part = parts[index]
    total = torch.zeros(part.length, dtype=torch.float32, device=fade.device)
    for other in neighbours(parts, index):
        first = max(part.start, other.start)
        end = min(part.start + part.length, other.start + other.length)
        total[first - part.start : end - part.start] += fade[
            first - other.start : end - other.start
        ]
    return fade[: part.length] / total


def neighbours(parts: Sequence[Segment], index: int) -> list[Segment]:
    """List a segment and those that overlap with it, in order."""
    part = parts[index]
    first, end = index, index + 1
    while first > 0 and parts[first - 1].start + parts[first - 1].length > part.start:
        first -= 1
    while end < len(parts) and parts[end].start < part.start + part.length:
        end += 1
    return list(parts[first:end])


def windows(mix: Tensor, parts: Sequence[Segment], level: Level, *, first: int = 0) -> Tensor:
    """Extract the normalised windows of segments: float32 ``[segments, channels, window]``.

    The silence around the song is 0 after normalisation, not before.

    Parameters
    ----------
    mix
        The song, or the part of it that the windows need: float32 ``[channels, n]``.
    parts
        Segments whose windows have the same length.
    level
        Level by which the song is normalised.
    first
        Start of `mix` in the song.
    """
    begin = min(part.window_start for part in parts)
    end = max(part.window_start + part.window for part in parts)
    start, stop = max(begin, first), min(end, first + mix.shape[-1])
    around = torch.zeros(mix.shape[0], end - begin, dtype=torch.float32, device=mix.device)
    if start < stop:
        # What they have in common is normalised once, and a window is a slice of it.
        inside = around[:, start - begin : stop - begin]
        torch.sub(mix[:, start - first : stop - first], level.mean, out=inside)
        inside /= level.scale
    return torch.stack(
        [
            around[:, part.window_start - begin : part.window_start - begin + part.window]
            for part in parts
        ]
    )
