"""How a song is cut into overlapping segments and put together again, as ``demucs.apply.apply_model`` does it.

Times are samples, counted from the song's first. Before the first and after the last there is silence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import torch
from allin1_core.contracts.audio import SAMPLE_RATE
from torch import Tensor

from allin1_backend_torch.demix_level import Level

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


def share_of(parts: Sequence[Segment], index: int, fade: Tensor) -> Tensor:
    """Weight of a segment at each of its samples, of that of all segments there: float32 ``[length]``.

    Parameters
    ----------
    parts
        All segments of a song, in order.
    index
        Which.
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
    """List the segments that share samples with one of them, and that one, in order."""
    part = parts[index]
    first, end = index, index + 1
    while first > 0 and parts[first - 1].start + parts[first - 1].length > part.start:
        first -= 1
    while end < len(parts) and parts[end].start < part.start + part.length:
        end += 1
    return list(parts[first:end])


def windows(mix: Tensor, parts: Sequence[Segment], level: Level, *, first: int = 0) -> Tensor:
    """Take the windows of segments out of a song, normalised: float32 ``[segments, channels, window]``.

    The silence around the song is 0 after normalisation, not before.

    Parameters
    ----------
    mix
        The song, or as much of it as the windows need: float32 ``[channels, n]``.
    parts
        Segments with windows of one length.
    level
        By which the song is normalised.
    first
        Where in the song `mix` begins.
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
