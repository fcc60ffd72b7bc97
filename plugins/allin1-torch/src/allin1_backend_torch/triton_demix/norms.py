"""Sums with the norm that follows them in the transformer."""

# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False
# mypy: disallow-incomplete-defs=False

from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from allin1_backend_torch.demix_parameters import Norm
from allin1_backend_torch.triton_demix.arithmetic import moments, store_sums
from allin1_backend_torch.triton_demix.sharing import few_parts, power_of_two
from allin1_backend_torch.triton_launching import Launch

#: Tokens that a program normalises by themselves; values that it goes through at a time.
ROWS, BLOCK = 4, 4096


def launch_sum_and_norm(norm: Norm, x: Tensor, y: Tensor, out: Tensor) -> Launch:
    """Add `x` to `y`, and put `y` normalised over channels into `out`: all contiguous, of one shape."""
    channels = x.shape[-1]
    tokens = x.numel() // channels
    options = {
        "CHANNELS": channels, "COLUMNS": power_of_two(16, channels), "ROWS": ROWS, "num_warps": 4
    }  # fmt: skip
    arguments = (x, y, norm.gain, norm.bias, norm.eps, out, tokens)
    return Launch(_sum_and_norm, (triton.cdiv(tokens, ROWS),), arguments, options)


def norm_of_sum_launches(norm: Norm, x: Tensor, y: Tensor) -> Iterator[Launch]:
    """Add `x` to `y` ``[n, tokens, channels]``, and normalise each of the n, in place of `y`."""
    size, channels = x[0].numel(), x.shape[-1]
    parts = triton.cdiv(size, BLOCK)
    sums = torch.empty(len(x), parts, 2, dtype=torch.float32, device=x.device)
    options = {"BLOCK": BLOCK, "num_warps": 8}
    yield Launch(_sum, (len(x), parts), (x, y, sums, size), options)
    sums = few_parts(sums)
    of_norm = (norm.gain, norm.bias, norm.eps)
    arguments = (y, sums, sums.shape[1], *of_norm, size)
    yield Launch(_norm, (len(x), parts), arguments, {"CHANNELS": channels, **options})


@triton.jit(do_not_specialize=["eps", "tokens"])
def _sum_and_norm(
    x, y, gain, shift, eps, out, tokens,
    CHANNELS: tl.constexpr, COLUMNS: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)
    inside = column < CHANNELS
    kept = (token < tokens)[:, None] & inside[None, :]
    places = token.to(tl.int64)[:, None] * CHANNELS + column[None, :]
    values = tl.load(x + places, mask=kept, other=0.0).to(tl.float32)
    values += tl.load(y + places, mask=kept, other=0.0).to(tl.float32)
    tl.store(y + places, values.to(y.dtype.element_ty), mask=kept)
    mean = tl.sum(values, 1) * (1.0 / CHANNELS)
    centred = tl.where(inside[None, :], values - mean[:, None], 0.0)
    factor = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) * (1.0 / CHANNELS) + eps)
    own_gain = tl.load(gain + column, mask=inside, other=0.0).to(tl.float32)
    own_shift = tl.load(shift + column, mask=inside, other=0.0).to(tl.float32)
    values = centred * factor[:, None] * own_gain[None, :] + own_shift[None, :]
    tl.store(out + places, values.to(out.dtype.element_ty), mask=kept)


@triton.jit
def _sum(x, y, sums, size, BLOCK: tl.constexpr):
    row, part = tl.program_id(0), tl.program_id(1)
    x += row.to(tl.int64) * size
    y += row.to(tl.int64) * size
    place = part * BLOCK + tl.arange(0, BLOCK)
    kept = place < size
    values = tl.load(x + place, mask=kept, other=0.0).to(tl.float32)
    values += tl.load(y + place, mask=kept, other=0.0).to(tl.float32)
    tl.store(y + place, values.to(y.dtype.element_ty), mask=kept)
    total, squares = tl.sum(values, 0), tl.sum(values * values, 0)
    store_sums(sums, row, part, tl.num_programs(1), total, squares)


@triton.jit(do_not_specialize=["parts", "eps"])
def _norm(y, sums, parts, gain, shift, eps, size, CHANNELS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    y += row.to(tl.int64) * size
    mean, factor = moments(sums, row, parts, size.to(tl.float32), eps)
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    kept = place < size
    channel = place % CHANNELS
    values = tl.load(y + place, mask=kept, other=0.0).to(tl.float32)
    values = (values - mean) * (factor * tl.load(gain + channel)) + tl.load(shift + channel)
    tl.store(y + place, values.to(y.dtype.element_ty), mask=kept)
