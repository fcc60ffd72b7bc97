"""Residual layers: ``x + gate(norm(widen(gelu(norm(narrow(x))))))``, norms over a row's frames and channels.

The hidden channels are an eighth as many as the others, so what is kept in memory between launches is little:

1. the dilated convolution, which leaves hidden values and the sums for their norm;
2. the sums for the second norm. What is normalised there is a product of the hidden values h, one of whose columns is
   set to 1 to bring in the bias: ``y = W h``. The sum of all ``y^2`` is that of the entries of ``(sum h h^T) * (W^T W)``,
   so no y is computed, and none is stored;
3. the product, gated, added to the layer's input.

A row is a bin of a segment in the frequency branch, a segment in the time branch.
"""

# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False
# mypy: disallow-incomplete-defs=False

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from allin1_backend_torch.demix_parameters import Residual
from allin1_backend_torch.triton_demix.arithmetic import gelu, moments, sigmoid, store_sums
from allin1_backend_torch.triton_demix.sharing import chunk, few_parts, power_of_two
from allin1_backend_torch.triton_network.launching import Launch

#: Most hidden channels: of more, the sums of their products do not fit into registers.
MOST_HIDDEN = 63

#: Frames of a program, and its warps; and those of :func:`_widen`, which has more values in registers.
TILE, WARPS = 64, 2
WIDEN_TILE, WIDEN_WARPS = 32, 2


@dataclass(frozen=True, eq=False)
class Packed:
    """Parameters of a residual layer as the kernels read them; w is the number of hidden channels, padded.

    Attributes
    ----------
    narrow
        ``[3, channels, w]``, by tap.
    narrow_bias, narrow_gain, narrow_shift
        float32 ``[w]``.
    widen
        ``[w, 2 channels]``; the row behind the hidden channels is the bias.
    widen_gain, widen_shift
        float32 ``[2 channels]``.
    summing
        float32 ``[2, w, w]``: what the sums of products of hidden values are multiplied with, to give the sum of the
        widened values and of their squares.
    """

    narrow: Tensor
    narrow_bias: Tensor
    narrow_gain: Tensor
    narrow_shift: Tensor
    widen: Tensor
    widen_gain: Tensor
    widen_shift: Tensor
    summing: Tensor


def is_small(layer: Residual) -> bool:
    """Whether the kernels can do a layer."""
    taps = tuple(layer.narrow.weight.shape[2:])
    return taps == (1, 3) and layer.widen.weight.shape[1] <= MOST_HIDDEN


def pack(layer: Residual) -> Packed:
    """Pad parameters and lay them out."""
    hidden, channels = layer.narrow.weight.shape[:2]
    width, behind = power_of_two(16, hidden + 1), hidden + 1

    def padded(values: Tensor) -> Tensor:
        out = torch.zeros(width, dtype=torch.float32, device=values.device)
        out[:hidden] = values
        return out

    narrow = layer.narrow.weight.new_zeros(3, channels, width)
    narrow[..., :hidden] = layer.narrow.weight[:, :, 0].permute(2, 1, 0)
    widen = layer.widen.weight.new_zeros(width, 2 * channels)
    widen[:hidden] = layer.widen.weight.T
    widen[hidden] = layer.widen.bias
    exact = widen.double()
    summing = torch.zeros(2, width, width, dtype=torch.float64, device=widen.device)
    summing[0, :behind, hidden] = exact[:behind].sum(1)
    summing[1] = exact @ exact.T
    return Packed(
        narrow.contiguous(),
        padded(layer.narrow.bias),
        padded(layer.narrow_norm.gain),
        padded(layer.narrow_norm.bias),
        widen.contiguous(),
        layer.widen_norm.gain,
        layer.widen_norm.bias,
        summing.float(),
    )


def launches(
    layer: Residual, packed: Packed, x: Tensor, out: Tensor, precision: str
) -> Iterator[Launch]:
    """Run a layer on contiguous ``[n, bins or 1, frames, channels]``; `out` is another array."""
    count, bins, frames, channels = x.shape
    rows, hidden, width = count * bins, layer.widen.weight.shape[1], packed.narrow.shape[2]
    parts = triton.cdiv(frames, TILE)
    between = torch.empty(rows, frames, hidden, dtype=x.dtype, device=x.device)
    # Two arrays, lest the second begin where Triton would compile other kernels for it.
    sums, widened_sums = (
        torch.empty(rows, parts, 2, dtype=torch.float32, device=x.device) for _ in range(2)
    )
    sizes = {"CHANNELS": channels, "HIDDEN": hidden, "WIDTH": width, "CHUNK": chunk(channels)}
    options = {**sizes, "TILE": TILE, "PRECISION": precision, "num_warps": WARPS}
    yield Launch(
        _narrow,
        (rows, parts),
        (x, packed.narrow, packed.narrow_bias, between, sums, frames, layer.dilation),
        options,
    )
    sums = few_parts(sums)
    of_norm = (packed.narrow_gain, packed.narrow_shift, layer.narrow_norm.eps)
    normed = (between, sums, sums.shape[1], *of_norm)
    own = {key: options[key] for key in ("HIDDEN", "WIDTH", "TILE", "PRECISION", "num_warps")}
    yield Launch(_sum_widened, (rows, parts), (*normed, packed.summing, widened_sums, frames), own)
    widened_sums = few_parts(widened_sums)
    of_norm = (packed.widen_gain, packed.widen_shift, layer.widen_norm.eps)
    widened = (packed.widen, widened_sums, widened_sums.shape[1], *of_norm)
    options = {**options, "TILE": WIDEN_TILE, "num_warps": WIDEN_WARPS}
    grid = (rows, triton.cdiv(frames, WIDEN_TILE))
    yield Launch(_widen, grid, (x, *normed, *widened, out, frames), options)


@triton.jit(do_not_specialize=["frames", "dilation"])
def _narrow(
    x, matrix, bias, out, sums, frames, dilation,
    CHANNELS: tl.constexpr, HIDDEN: tl.constexpr, WIDTH: tl.constexpr, CHUNK: tl.constexpr,
    TILE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Some tiles of a row: convolve three frames, `dilation` apart."""
    row, part = tl.program_id(0), tl.program_id(1)
    x += row.to(tl.int64) * frames * CHANNELS
    out += row.to(tl.int64) * frames * HIDDEN
    frame = part * TILE + tl.arange(0, TILE)
    column = tl.arange(0, WIDTH)
    values = tl.zeros((TILE, WIDTH), tl.float32)
    for tap in tl.static_range(3):
        near = frame + (tap - 1) * dilation
        inside = (near >= 0) & (near < frames)
        for first in range(0, CHANNELS, CHUNK):
            channel = first + tl.arange(0, CHUNK)
            rows = tl.load(
                x + (near[:, None] * CHANNELS + channel[None, :]),
                mask=inside[:, None] & (channel < CHANNELS)[None, :],
                other=0.0,
            )
            entries = tl.load(
                matrix + ((tap * CHANNELS + channel)[:, None] * WIDTH + column[None, :]),
                mask=(channel < CHANNELS)[:, None],
                other=0.0,
            )
            values = tl.dot(rows, entries, values, input_precision=PRECISION)
    kept = (frame < frames)[:, None] & (column < HIDDEN)[None, :]
    values = tl.where(kept, values + tl.load(bias + column)[None, :], 0.0)
    places = out + (frame[:, None] * HIDDEN + column[None, :])
    tl.store(places, values.to(out.dtype.element_ty), mask=kept)
    total, squares = tl.sum(tl.sum(values, 1), 0), tl.sum(tl.sum(values * values, 1), 0)
    store_sums(sums, row, part, tl.num_programs(1), total, squares)


@triton.jit
def _hidden(x, frame, frames, mean, factor, gain, shift, HIDDEN: tl.constexpr, WIDTH: tl.constexpr):
    """Normalised hidden values behind their GELU, a 1 behind those of each frame, and else 0: as they are stored."""
    column = tl.arange(0, WIDTH)
    real = frame < frames
    kept = real[:, None] & (column < HIDDEN)[None, :]
    values = tl.load(x + (frame[:, None] * HIDDEN + column[None, :]), mask=kept, other=0.0)
    scale = factor * tl.load(gain + column)
    values = (values.to(tl.float32) - mean) * scale[None, :] + tl.load(shift + column)[None, :]
    one = real[:, None] & (column == HIDDEN)[None, :]
    values = tl.where(kept, gelu(values), tl.where(one, 1.0, 0.0))
    return values.to(x.dtype.element_ty)


@triton.jit(do_not_specialize=["parts", "eps", "frames"])
def _sum_widened(
    x, sums, parts, gain, shift, eps, summing, widened_sums, frames,
    HIDDEN: tl.constexpr, WIDTH: tl.constexpr, TILE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """A tile of a row: sums of what :func:`_widen` normalises."""
    row, part = tl.program_id(0), tl.program_id(1)
    x += row.to(tl.int64) * frames * HIDDEN
    frame = part * TILE + tl.arange(0, TILE)
    mean, factor = moments(sums, row, parts, (frames * HIDDEN).to(tl.float32), eps)
    values = _hidden(x, frame, frames, mean, factor, gain, shift, HIDDEN, WIDTH)
    products = tl.dot(tl.trans(values), values, input_precision=PRECISION)
    column = tl.arange(0, WIDTH)
    places = summing + (column[:, None] * WIDTH + column[None, :])
    total = tl.sum(tl.sum(products * tl.load(places), 1), 0)
    squares = tl.sum(tl.sum(products * tl.load(places + WIDTH * WIDTH), 1), 0)
    store_sums(widened_sums, row, part, tl.num_programs(1), total, squares)


@triton.jit(do_not_specialize=["parts", "eps", "widened_parts", "widened_eps", "frames"])
def _widen(
    x, hidden, sums, parts, gain, shift, eps,
    matrix, widened_sums, widened_parts, widened_gain, widened_shift, widened_eps, out, frames,
    CHANNELS: tl.constexpr, HIDDEN: tl.constexpr, WIDTH: tl.constexpr, CHUNK: tl.constexpr,
    TILE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """A tile of a row: widen, normalise, gate, and add to the layer's input."""
    row = tl.program_id(0)
    frame = tl.program_id(1) * TILE + tl.arange(0, TILE)
    x += row.to(tl.int64) * frames * CHANNELS
    out += row.to(tl.int64) * frames * CHANNELS
    hidden += row.to(tl.int64) * frames * HIDDEN
    mean, factor = moments(sums, row, parts, (frames * HIDDEN).to(tl.float32), eps)
    values = _hidden(hidden, frame, frames, mean, factor, gain, shift, HIDDEN, WIDTH)
    count = (frames * (2 * CHANNELS)).to(tl.float32)
    mean, factor = moments(widened_sums, row, widened_parts, count, widened_eps)
    column = tl.arange(0, WIDTH)
    for first in range(0, CHANNELS, CHUNK):
        channel = first + tl.arange(0, CHUNK)
        real = channel < CHANNELS
        entries = matrix + (column[:, None] * (2 * CHANNELS) + channel[None, :])
        linear = tl.dot(
            values, tl.load(entries, mask=real[None, :], other=0.0), input_precision=PRECISION
        )
        gate = tl.dot(
            values,
            tl.load(entries + CHANNELS, mask=real[None, :], other=0.0),
            input_precision=PRECISION,
        )
        scale = factor * tl.load(widened_gain + channel, mask=real, other=0.0)
        offset = tl.load(widened_shift + channel, mask=real, other=0.0) - mean * scale
        linear = linear * scale[None, :] + offset[None, :]
        scale = factor * tl.load(widened_gain + CHANNELS + channel, mask=real, other=0.0)
        offset = tl.load(widened_shift + CHANNELS + channel, mask=real, other=0.0) - mean * scale
        gate = gate * scale[None, :] + offset[None, :]
        kept = (frame < frames)[:, None] & real[None, :]
        places = frame[:, None] * CHANNELS + channel[None, :]
        before = tl.load(x + places, mask=kept, other=0.0).to(tl.float32)
        after = before + linear * sigmoid(gate)
        tl.store(out + places, after.to(out.dtype.element_ty), mask=kept)
