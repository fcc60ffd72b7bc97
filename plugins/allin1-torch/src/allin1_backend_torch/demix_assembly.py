"""The part of a song that is in memory during separation: samples that are still needed, and incomplete sums.

A song that is already in memory is separated in the same way as one that is read block by block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from allin1_core.contracts.audio import STEMS
from allin1_core.errors import InputError
from torch import Tensor

from allin1_backend_torch.demix_segments import Segment, neighbours, share_of, triangle


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
    """Stems to which segments are added at the end, and from which finished parts are removed at the start.

    Attributes
    ----------
    device
        Device of the stems.
    first
        Their start in the song.
    stems
        float32 ``[4, 2, m]``.
    """

    device: torch.device
    first: int = 0
    stems: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.stems = self._silence(0)

    def _silence(self, samples: int) -> Tensor:
        return torch.zeros(len(STEMS), 2, samples, dtype=torch.float32, device=self.device)

    def grow(self, end: int) -> None:
        """Extend the stems by silence up to `end`."""
        more = end - self.first - self.stems.shape[-1]
        if more > 0:
            self.stems = torch.cat([self.stems, self._silence(more)], dim=-1)

    def take(self, end: int) -> Tensor:
        """Remove and return the part before `end`."""
        count = end - self.first
        taken = self.stems[..., :count]
        # A copy, so that the rest does not keep the removed part in memory.
        self.stems = self.stems[..., count:].clone()
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
