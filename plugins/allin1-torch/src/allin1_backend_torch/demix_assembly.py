"""The part of a song that is in memory during separation: samples that are still needed, and incomplete sums.

A song that is already in memory is separated in the same way as one that is read block by block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from allin1_core.errors import InputError
from torch import Tensor

from allin1_backend_torch.demix_level import Level
from allin1_backend_torch.demix_segments import (
    Segment,
    neighbours,
    share_of,
    triangle,
)


@dataclass(eq=False)
class Reading:
    """The part of a song that is in memory.

    Attributes
    ----------
    blocks
        The song: float32 ``[2, n]`` each.
    samples
        Length of the song.
    mix
        The part in memory: float32 ``[2, m]``; initially empty.
    first
        Start of that part.
    """

    blocks: Iterator[Tensor]
    samples: int
    mix: Tensor
    first: int = 0

    def read(self, first: int, end: int) -> Tensor:
        """Return the song from `first`, which never decreases, at least up to `end`.

        Raises
        ------
        InputError
            The song is shorter than before.
        """
        skip = min(max(0, first), self.samples) - self.first
        parts, held = [self.mix[:, skip:]], self.mix.shape[-1]
        while self.first + held < min(end, self.samples):
            block = next(self.blocks, None)
            if block is None:
                raise InputError("The song was shorter when it was read the second time.")
            parts.append(block[:, max(0, skip - held) :])
            held += block.shape[-1]
        # A song in a single block is never copied.
        parts = [part for part in parts if part.shape[-1]] or parts[:1]
        self.mix = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
        self.first += skip
        return self.mix


@dataclass(eq=False)
class Sums:
    """Sources to which segments are added at the end, and from which finished parts are removed at the start.

    Attributes
    ----------
    count
        Number of sources.
    device
        Device of the stems.
    first
        Their start in the song.
    sources
        float32 ``[count, 2, m]``.
    """

    count: int
    device: torch.device
    first: int = 0
    sources: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.sources = self._silence(0)

    def _silence(self, samples: int) -> Tensor:
        return torch.zeros(self.count, 2, samples, dtype=torch.float32, device=self.device)

    def grow(self, end: int) -> None:
        """Extend the sources by silence up to `end`."""
        more = end - self.first - self.sources.shape[-1]
        if more > 0:
            self.sources = torch.cat([self.sources, self._silence(more)], dim=-1)

    def add(self, start: int, estimate: Tensor, weight: Tensor, shares: Sequence[float]) -> None:
        """Add the weighted estimate of a segment; samples before the song are dropped.

        Parameters
        ----------
        start
            Start of the segment in the song.
        estimate
            float32 ``[count, 2, length]``.
        weight
            Weight of each sample: float32 ``[length]``.
        shares
            Another factor for each source.
        """
        before = max(0, -start)
        begin, end = start + before - self.first, start + estimate.shape[-1] - self.first
        if begin >= end:
            return
        estimate, weight = estimate[..., before:], weight[before:]
        if len(set(shares)) == 1:
            self.sources[..., begin:end].addcmul_(estimate, weight, value=shares[0])
            return
        for mine, its, share in zip(self.sources, estimate, shares, strict=True):
            if share:
                mine[:, begin:end].addcmul_(its, weight, value=share)

    def take(self, end: int) -> Tensor:
        """Remove and return the part before `end`."""
        count = end - self.first
        taken = self.sources[..., :count]
        # A copy, so that the rest does not keep the removed part in memory.
        self.sources = self.sources[..., count:].clone()
        self.first = end
        return taken


@dataclass(eq=False)
class Pass:
    """One pass through the song: one model, from one start.

    Attributes
    ----------
    member
        Index of the model in its bag.
    parts
        Its segments, in order.
    segment
        Length of all segments except the last.
    done
        Number of segments that are separated.
    """

    member: int
    parts: list[Segment]
    segment: int
    done: int = 0
    _last: int = field(init=False)
    _fade: Tensor | None = None
    _share: tuple[tuple[tuple[int, int], ...], Tensor] | None = None

    def __post_init__(self) -> None:
        end = self.parts[-1].start + self.parts[-1].length
        self._last = next(i for i, p in enumerate(self.parts) if p.start + p.length == end)

    @property
    def next_start(self) -> int:
        """Start of the next segment; everything before it is final."""
        return self.parts[self.done].start

    @property
    def is_done(self) -> bool:
        """Whether all segments are separated."""
        return self.done == len(self.parts)

    @property
    def first_needed(self) -> int:
        """Start of the earliest window that is still to be separated."""
        # The shorter the last segments are, the earlier their windows start.
        last = self.parts[max(self.done, self._last) :]
        return min(part.window_start for part in (self.parts[self.done], *last))

    def upcoming(self, most: int) -> list[Segment]:
        """List at most `most` of the next segments, whose windows have the same length."""
        # Models without a fixed length take the last segments with their actual length.
        batch = self.parts[self.done : self.done + most]
        window = batch[0].window
        end = next((i for i, part in enumerate(batch) if part.window != window), len(batch))
        return batch[:end]

    def share(self, index: int, device: torch.device) -> Tensor:
        """Weight of a segment in the cross-fade, which is usually equal to that of the previous one."""
        part = self.parts[index]
        around = tuple((p.start - part.start, p.length) for p in neighbours(self.parts, index))
        if self._share is None or self._share[0] != around:
            if self._fade is None:
                self._fade = triangle(self.segment, device)
            self._share = around, share_of(self.parts, index, self._fade)
        return self._share[1]


@dataclass(eq=False)
class Song:
    """A song that is being separated.

    Attributes
    ----------
    level
        Mean and scale by which it is normalised.
    reading
        The part that is in memory.
    sums
        Its sources, to which segments have been added so far.
    passes
        All passes over it.
    """

    level: Level
    reading: Reading
    sums: Sums
    passes: list[Pass]

    @property
    def left(self) -> list[Pass]:
        """Passes that are not finished."""
        return [each for each in self.passes if not each.is_done]

    @property
    def next_pass(self) -> Pass:
        """The next pass: all advance together, as no sample is final before every pass is."""
        return min(self.left, key=lambda each: each.next_start)

    @property
    def segments(self) -> int:
        """Number of segments of all passes."""
        return sum(len(each.parts) for each in self.passes)

    def take(self) -> tuple[int, Tensor] | None:
        """Remove the part of the sources that is final, and return its start and the part; None if there is none."""
        first = self.sums.first
        final = min((each.next_start for each in self.left), default=self.level.samples)
        return (first, self.sums.take(final)) if final > first else None

    def read(self, parts: Sequence[Segment]) -> Tensor:
        """Return the samples that the windows of the next segments need, and extend the sums for them."""
        self.sums.grow(parts[-1].start + parts[-1].length)
        return self.reading.read(
            min(each.first_needed for each in self.left),
            max(part.window_start + part.window for part in parts),
        )


@dataclass(frozen=True, eq=False)
class Share:
    """A song's part of a batch: the next segments of one of its passes."""

    song: Song
    of: Pass
    parts: list[Segment]


def next_batch(songs: Sequence[Song], size: int) -> list[Share]:
    """Choose up to so many segments that one model can separate at once, of one song or several, in order."""
    batch: list[Share] = []
    room = size
    for song in songs:
        if not song.left:
            continue
        share = Share(song, song.next_pass, song.next_pass.upcoming(room))
        if batch and (share.of.member, share.parts[0].window) != (
            batch[0].of.member,
            batch[0].parts[0].window,
        ):
            continue
        batch.append(share)
        room -= len(share.parts)
        if room == 0:
            break
    return batch
