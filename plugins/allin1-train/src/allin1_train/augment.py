"""Augmentation of views on the device: pitch, equaliser, loudness, noise, gaps, missing views."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from allin1_train.songs_in_memory import Crops

LN10 = math.log(10)
MISSING = (
    0.03,
    0.3,
    0.05,
    0.05,
)  # probability that a view is missing; without the side, a song is mono
NOISE = (1.0, 0.5, 0.5, 1.0)  # level of noise in each view


@functools.cache
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Return a tensor that is copied to the device once, as copies are not allowed during graph capture."""
    return torch.tensor(values, device=device)


class Changes(NamedTuple):
    """Augmentation of the crops of a batch, one row per crop.

    Attributes
    ----------
    shift
        Upward shift in bands, int64 [B].
    gain, noise
        Factor of each band, and level of added noise, [B, 81].
    gaps
        First frames, lengths and depths of two gaps [B, 6].
    keep
        0 for views that are missing [B, 4].
    """

    shift: Tensor
    gain: Tensor
    noise: Tensor
    gaps: Tensor
    keep: Tensor


def draw(batch: int, frames: int, bands: int, device: torch.device) -> Changes:
    """Draw changes for a batch."""

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, device=device)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, device=device)

    b = batch
    shift = torch.randint(-3, 4, (b,), device=device) * (rand(b) < 0.5)
    f = torch.linspace(0, 1, bands, device=device)
    curve = randn(b, 1) * 10 * (f - 0.5)
    for k in (1, 2, 4, 7):
        curve = curve + randn(b, 1) * 3 * torch.cos(math.pi * k * f + 6.3 * rand(b, 1))
    cut = 0.45 + 0.9 * rand(b, 1)  # a low-pass, sometimes
    curve = curve - 120 * (f - cut).clamp(min=0) * (rand(b, 1) < 0.2)
    gain = 10 ** ((curve + 4 - 22 * rand(b, 1)) / 20)
    colour = 10 ** ((randn(b, 1) * 6 * f + 3 * randn(b, 1)) / 20)
    noise = 10 ** (-2.5 + 2.3 * rand(b, 1)) * (rand(b, 1) < 0.4) * colour
    gaps = torch.cat(
        [rand(b, 2) * frames, 10 + 140 * rand(b, 2), rand(b, 2) * (rand(b, 2) < 0.15)], 1
    )
    keep = (rand(b, 4) >= constant(MISSING, device)).float()
    return Changes(shift, gain, noise, gaps, keep)


def apply(crops: Crops, changes: Changes, dtype: torch.dtype) -> Tensor:
    """Augmented views [B, 4, T, 81] of crops."""
    b, frames, _, bands = crops.earlier.shape
    dev = crops.earlier.device
    band = torch.arange(bands, device=dev) - changes.shift[:, None]
    known = (band >= 0) & (band < bands)
    song = torch.arange(b, device=dev)[:, None, None, None]
    time = torch.arange(frames, device=dev)[None, :, None, None]
    view = torch.arange(4, device=dev)[None, None, :, None]
    index = (song, time, view, band.clamp(0, bands - 1)[:, None, None, :])
    low, high = crops.earlier[index].float(), crops.later[index].float()
    x = low + (high - low) * crops.fraction[:, :, None, None]
    x = x * (crops.inside[:, :, None, None] & known[:, None, None])
    lin = (torch.exp(x * LN10) - 1) * changes.gain[:, None, None]
    field = 0.5 + torch.rand(b, frames, 1, bands, device=dev)
    lin = lin + changes.noise[:, None, None] * field * constant(NOISE, dev)[:, None]
    t = torch.arange(frames, device=dev)
    level = torch.ones_like(crops.fraction)
    for i in range(2):
        first, length, depth = (changes.gaps[:, i + j, None] for j in (0, 2, 4))
        level = level * (1 - depth * ((t >= first) & (t < first + length)))
    lin = lin * level[:, :, None, None] * changes.keep[:, None, :, None]
    return (torch.log1p(lin.clamp(min=0)) / LN10).to(dtype).transpose(1, 2).contiguous()
