"""Augmentation of views on the device: pitch, equaliser, loudness, noise, gaps, missing views."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

LN10 = math.log(10)
MISSING = (0.03, 0.3, 0.05, 0.05)  # how often each view is; without the side, a song is mono
NOISE = (1.0, 0.5, 0.5, 1.0)  # how much of a noise each view shows


@functools.cache
def constant(values: tuple[float, ...], device) -> Tensor:
    """Give a tensor that is copied to the device once, as nothing may be copied while a graph is captured."""
    return torch.tensor(values, device=device)


def draw(batch: int, frames: int, bands: int, device) -> tuple[Tensor, ...]:
    """Draw what `apply` needs for a batch: small tensors, one row a crop."""

    def rand(*shape):
        return torch.rand(*shape, device=device)

    def randn(*shape):
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
    gaps = torch.cat([rand(b, 2) * frames, 10 + 140 * rand(b, 2), rand(b, 2) * (rand(b, 2) < 0.15)], 1)
    keep = (rand(b, 4) >= constant(MISSING, device)).float()
    return shift, gain, noise, gaps, keep, constant(NOISE, device)


def apply(
    earlier: Tensor, later: Tensor, fraction: Tensor, inside: Tensor,
    shift: Tensor, gain: Tensor, noise: Tensor, gaps: Tensor, keep: Tensor, spread: Tensor,
    dtype: torch.dtype,
) -> Tensor:  # fmt: skip
    """Views [B, 4, T, 81] in `dtype` of crops as `SongRing.crops` cuts them, changed as `draw` says."""
    b, frames, _, bands = earlier.shape
    band = torch.arange(bands, device=earlier.device) - shift[:, None]
    known = (band >= 0) & (band < bands)
    band = band.clamp(0, bands - 1)
    song = torch.arange(b, device=earlier.device)[:, None, None, None]
    time = torch.arange(frames, device=earlier.device)[None, :, None, None]
    view = torch.arange(4, device=earlier.device)[None, None, :, None]
    index = (song, time, view, band[:, None, None, :])
    low, high = earlier[index].float(), later[index].float()
    x = low + (high - low) * fraction[:, :, None, None]
    x = x * (inside[:, :, None, None] & known[:, None, None])
    lin = torch.exp(x * LN10) - 1
    lin = lin * gain[:, None, None]
    field = 0.5 + torch.rand(b, frames, 1, bands, device=earlier.device)
    lin = lin + noise[:, None, None] * field * spread[:, None]
    t = torch.arange(frames, device=earlier.device)
    level = torch.ones_like(fraction)
    for i in range(2):
        first, length, depth = (gaps[:, i + j, None] for j in (0, 2, 4))
        level = level * (1 - depth * ((t >= first) & (t < first + length)))
    lin = lin * level[:, :, None, None] * keep[:, None, :, None]
    return (torch.log1p(lin.clamp(min=0)) / LN10).to(dtype).transpose(1, 2).contiguous()
