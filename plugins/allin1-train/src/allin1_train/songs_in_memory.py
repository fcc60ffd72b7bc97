"""Training songs in the memory of the device: a ring buffer in which new songs replace the oldest."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

BANDS, VIEWS, FPS = 81, 4, 100
KINDS = ("beats", "downbeats", "boundaries")


class Crops(NamedTuple):
    """Crops of songs in memory, and their annotations.

    Attributes
    ----------
    earlier, later
        float16 [B, T, 4, 81] each: the frames before and after each requested position.
    fraction
        Fraction of the position between them, [B, T].
    inside
        Whether the position is within the song, [B, T].
    targets
        Beats, downbeats, boundaries, from 0 to 1, [B, 3, T]; NaN if not annotated.
    labels
        int64 [B, T], indices of the labels; -1 if unknown.
    """

    earlier: Tensor
    later: Tensor
    fraction: Tensor
    inside: Tensor
    targets: Tensor
    labels: Tensor


#: Return value of `read_song`.
Song = dict[str, Any]


def distance(times: np.ndarray, frames: int) -> np.ndarray:
    """Signed distance in frames from the nearest of `times` (seconds, increasing), at most 1000; float32 [frames].

    NaN everywhere if `times` is NaN, which means not annotated.
    """
    if np.isnan(times).any():
        return np.full(frames, np.nan, np.float32)
    at = np.arange(frames, dtype=np.float64)
    marks = np.concatenate([[-1e9], np.asarray(times, np.float64) * FPS, [1e9]])
    i = np.searchsorted(marks, at)
    before, after = at - marks[i - 1], at - marks[np.minimum(i, len(marks) - 1)]
    near = np.where(before < -after, before, after)
    return np.asarray(np.clip(near, -1000, 1000), np.float32)


def read_song(path: Path) -> Song:
    """Read a shard: views float16 [T, 324], distances float32 [3, T], labels int8 [T], and the lists of times."""
    with np.load(path) as z:
        x, labels = z["x"], z["labels"].astype(np.int8)
        times = {k: z[k].astype(np.float64) for k in KINDS}
        drums = bool(z["drums"]) if "drums" in z.files else True
    frames = x.shape[1]
    rows = np.ascontiguousarray(x.transpose(1, 0, 2)).reshape(frames, VIEWS * BANDS)
    near = np.stack([distance(t, frames) for t in times.values()])
    return {"x": rows, "near": near, "labels": labels, "drums": drums, **times}


class SongRing:
    """Concatenated songs on the device.

    Parameters
    ----------
    device : torch.device
    frames : int
        Capacity in frames of 661 bytes.
    most : int
        Maximum number of songs.
    """

    def __init__(self, device: torch.device, frames: int, most: int = 20000) -> None:
        self.room, self.device = frames, device
        self.x = torch.zeros(frames + 1, VIEWS * BANDS, dtype=torch.float16, device=device)
        self.near = torch.zeros(3, frames + 1, device=device)
        self.labels = torch.zeros(frames + 1, dtype=torch.int8, device=device)
        self.offsets = torch.zeros(most, dtype=torch.int64, device=device)
        self.lengths = torch.ones(most, dtype=torch.int64, device=device)
        self.count = torch.ones(1, device=device)
        self.held: deque[tuple[int, int]] = deque()
        self.head = self.added = 0

    def add(self, songs: Sequence[Song]) -> None:
        """Add songs from `read_song`, replacing the oldest if necessary."""
        for song in songs:
            n = len(song["labels"])
            if n > self.room:
                continue
            if self.head + n > self.room:
                while self.held and self.held[0][0] >= self.head:
                    self.held.popleft()
                self.head = 0
            while self.held and self.head <= self.held[0][0] < self.head + n:
                self.held.popleft()
            if len(self.held) == len(self.offsets):
                self.held.popleft()
            part = slice(self.head, self.head + n)
            for mine, name in (
                (self.x[part], "x"),
                (self.near[:, part], "near"),
                (self.labels[part], "labels"),
            ):
                mine.copy_(torch.as_tensor(song[name]), non_blocking=True)
            self.held.append((self.head, n))
            self.head, self.added = self.head + n, self.added + 1
        if songs:
            table = torch.tensor(list(self.held)).T.contiguous()
            table = table.pin_memory() if self.x.is_cuda else table
            self.offsets[: len(self.held)].copy_(table[0], non_blocking=True)
            self.lengths[: len(self.held)].copy_(table[1], non_blocking=True)
            self.count.fill_(float(len(self.held)))

    def hours(self) -> float:
        """Hours of music in the buffer."""
        return sum(n for _, n in self.held) / FPS / 3600

    def crops(self, batch: int, frames: int, stretch: float = 0.06) -> Crops:
        """Draw random crops; a song shorter than the crop is surrounded by silence.

        The tempo of half of them is changed by up to `stretch`, with their annotations.
        """
        dev = self.device
        song = (torch.rand(batch, device=dev) * self.count).long()
        n = self.lengths[song].float()
        rate = 1 + (torch.rand(batch, device=dev) * 2 - 1) * stretch * (
            torch.rand(batch, device=dev) < 0.5
        )
        span = frames * rate
        room = (n - span).abs() + 200  # up to a second of silence at either end
        start = (torch.rand(batch, device=dev) * room).floor() - 100
        start = torch.where(n < span, -start, start)[:, None]
        place = start + torch.arange(frames, device=dev) * rate[:, None]
        inside = (place >= 0) & (place <= n[:, None] - 1)
        clamped = place.clamp(min=0).minimum(n[:, None] - 1)
        low = clamped.floor()
        fraction = clamped - low
        at = (self.offsets[song][:, None] + low.long()).flatten()
        earlier = self.x.index_select(0, at).view(batch, frames, VIEWS, BANDS)
        later = self.x.index_select(0, at + 1).view(batch, frames, VIEWS, BANDS)
        near = self.near.index_select(1, at).view(3, batch, frames).transpose(0, 1)
        near = ((near + fraction[:, None]) / rate[:, None, None]).abs()
        close = near[:, :2]
        beats = 0.25 * (close <= 2.5) + 0.25 * (close <= 1.5) + 0.5 * (close <= 0.5)
        edges = torch.exp(-0.5 * (near[:, 2:] / 15) ** 2) * (near[:, 2:] <= 45)
        unknown = near * 0  # 0, or NaN
        targets = torch.cat([beats, edges], 1) * inside[:, None] + unknown
        labels = torch.where(inside, self.labels[at].view(batch, frames).long(), (place > 0).long())
        return Crops(earlier, later, fraction, inside, targets, labels)
