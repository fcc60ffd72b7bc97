"""The front end: three convolutions over frames and bands, each followed by a maximum over three bands and an ELU.

Values are ordered by band, then by channel. The input of the second convolution around a band, 12 bands of 12 channels, is
then 144 consecutive values, and that of the third for a frame 72: no gathers are needed. A maximum over bands commutes
with adding a bias and with ELU, which are monotonic: it is computed first.
"""

# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False
# mypy: disallow-incomplete-defs=False

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from allin1_backend_torch.triton_launching import Launch
from allin1_backend_torch.triton_network.arithmetic import (
    UNSCALE,
    add_product,
    elu,
    halves,
    layer_norm,
    open_time_layer,
    project,
)
from allin1_backend_torch.triton_network.layout import (
    FIRST_MATRICES,
    FIRST_VECTORS,
    SECOND_MATRICES,
    SECOND_VECTORS,
    THIRD_MATRICES,
    THIRD_VECTORS,
)
from allin1_backend_torch.triton_network.packing import Weights
from allin1_backend_torch.triton_network.workspace import Workspace

_FIRST_MATRICES = tl.constexpr(FIRST_MATRICES.size)
_FIRST_VECTORS = tl.constexpr(FIRST_VECTORS.size)
_SECOND_MATRICES = tl.constexpr(SECOND_MATRICES.size)
_SECOND_VECTORS = tl.constexpr(SECOND_VECTORS.size)
_THIRD_MATRICES = tl.constexpr(THIRD_MATRICES.size)
_THIRD_VECTORS = tl.constexpr(THIRD_VECTORS.size)
_GAIN = tl.constexpr(THIRD_VECTORS.offset("gain"))
_SHIFT = tl.constexpr(THIRD_VECTORS.offset("shift"))
_NEXT_PLANES = tl.constexpr(THIRD_MATRICES.offset("next_planes"))
_NEXT_GAIN = tl.constexpr(THIRD_VECTORS.offset("next_gain"))
_NEXT_SHIFT = tl.constexpr(THIRD_VECTORS.offset("next_shift"))
_NEXT_BIAS = tl.constexpr(THIRD_VECTORS.offset("next_bias"))


# Tiles, warps and register limits are the fastest of a few that were tried on an H200.


def first(spectrogram: Tensor, weights: Weights, space: Workspace, exact: bool) -> Launch:
    """From the spectrogram, contiguous ``[4, T, 81]``, to the output of the first convolution."""
    return Launch(
        _first_convolution,
        (triton.cdiv(space.frames * 26, 128), space.rows),
        (
            *(spectrogram, space.first[0], space.first[-1]),
            *(weights.first_matrices.high, weights.first_matrices.low),
            *(weights.first_vectors, space.frames),
        ),
        {"TILE": 128, "EXACT": exact, "num_warps": 4},
    )


def second(weights: Weights, space: Workspace, exact: bool) -> Launch:
    """From the output of the first convolution to that of the second."""
    return Launch(
        _second_convolution,
        (triton.cdiv(space.frames * 5, 64), space.rows),
        (
            *(space.first[0], space.first[-1], space.second[0], space.second[-1]),
            *(weights.second_matrices.high, weights.second_matrices.low),
            *(weights.second_vectors, space.frames),
        ),
        {"TILE": 64, "EXACT": exact, "num_warps": 2, "num_stages": 1},
    )


def third(weights: Weights, space: Workspace, exact: bool) -> Launch:
    """From the output of the second convolution to `x` and the planes of the first block."""
    # Half precision has only been tried with four warps.
    warps = {"num_warps": 2, "maxnreg": 168} if exact else {"num_warps": 4, "maxnreg": 128}
    return Launch(
        _third_convolution,
        (triton.cdiv(space.frames + 1, 64), space.rows),
        (
            *(space.second[0], space.second[-1], space.x, space.time_planes),
            *(weights.third_matrices.high, weights.third_matrices.low),
            *(weights.third_vectors, space.frames),
        ),
        {"TILE": 64, "EXACT": exact, "num_stages": 1, **warps},
    )


@triton.jit(do_not_specialize=["spectrogram", "frames"])
def _first_convolution(
    spectrogram, out, out_low, matrix, matrix_low, vectors, frames,
    TILE: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Three frames of five bands to 12 channels at three positions: a tile of (frame, one of 26 bands).

    81 bands result in 79 positions; the maximum over three reduces 78 of them to 26.
    """
    row = tl.program_id(1)
    member = row // 4
    spectrogram += (row % 4).to(tl.int64) * frames * 81
    matrix += member * _FIRST_MATRICES
    matrix_low += member * _FIRST_MATRICES
    place = tl.program_id(0) * TILE + tl.arange(0, TILE)
    frame = place // 26
    tap = tl.arange(0, 16)
    near = frame[:, None] + (tap // 5)[None, :] - 1
    inside = (near >= 0) & (near < frames) & (tap < 15)[None, :]
    bands = near * 81 + ((place % 26) * 3)[:, None] + (tap % 5)[None, :]
    x = tl.load(spectrogram + bands, mask=inside, other=0.0)
    zeros = tl.zeros((TILE, 16), tl.float32)
    largest = project(zeros, x, matrix, matrix_low, 0, 16, 16, EXACT)
    largest = tl.maximum(largest, project(zeros, x, matrix, matrix_low, 256, 16, 16, EXACT))
    largest = tl.maximum(largest, project(zeros, x, matrix, matrix_low, 512, 16, 16, EXACT))
    channel = tl.arange(0, 16)
    bias = tl.load(vectors + member * _FIRST_VECTORS + channel)[None, :]
    high, low = halves(elu(largest * UNSCALE + bias))
    offset = row.to(tl.int64) * frames * 312
    places = place[:, None] * 12 + channel[None, :]
    kept = (frame < frames)[:, None] & (channel < 12)[None, :]
    tl.store(out + offset + places, high, mask=kept)
    if EXACT:
        tl.store(out_low + offset + places, low, mask=kept)


@triton.jit
def _add_window(
    total, x, x_low, starts, inside, matrix, matrix_low,
    TAPS: tl.constexpr, REAL_TAPS: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """`total` and the product of the `TAPS` values from each of `starts` on with a matrix ``[TAPS, 32]``.

    Values from `REAL_TAPS` on, and those of starts outside, count as zero.
    """
    tap = tl.arange(0, TAPS)
    places = starts[:, None] + tap[None, :]
    real = inside[:, None] & (tap < REAL_TAPS)[None, :]
    entries = tap[:, None] * 32 + tl.arange(0, 32)[None, :]
    high = tl.load(x + places, mask=real, other=0.0)
    matrix_high = tl.load(matrix + entries)
    if EXACT:
        low = tl.load(x_low + places, mask=real, other=0.0)
        total = add_product(total, high, low, matrix_high, tl.load(matrix_low + entries), True)
    else:
        total = add_product(total, high, high, matrix_high, matrix_high, False)
    return total


@triton.jit(do_not_specialize=["frames"])
def _second_convolution(
    x, x_low, out, out_low, matrix, matrix_low, vectors, frames,
    TILE: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """12 bands of 12 channels to 24 channels: a tile of (frame, one of 5 bands)."""
    row = tl.program_id(1)
    member = row // 4
    x += row.to(tl.int64) * frames * 312
    x_low += row.to(tl.int64) * frames * 312
    matrix += member * _SECOND_MATRICES
    matrix_low += member * _SECOND_MATRICES
    place = tl.program_id(0) * TILE + tl.arange(0, TILE)
    frame = place // 5
    inside = frame < frames
    largest = tl.full((TILE, 32), -float("inf"), tl.float32)
    for position in range(3):
        starts = frame * 312 + ((place % 5) * 3 + position) * 12
        total = tl.zeros((TILE, 32), tl.float32)
        total = _add_window(total, x, x_low, starts, inside, matrix, matrix_low, 128, 128, EXACT)
        total = _add_window(
            total, x, x_low, starts + 128, inside, matrix + 4096, matrix_low + 4096, 16, 16, EXACT
        )
        largest = tl.maximum(largest, total)
    channel = tl.arange(0, 32)
    bias = tl.load(vectors + member * _SECOND_VECTORS + channel)[None, :]
    high, low = halves(elu(largest * UNSCALE + bias))
    offset = row.to(tl.int64) * frames * 120
    places = place[:, None] * 24 + channel[None, :]
    kept = inside[:, None] & (channel < 24)[None, :]
    tl.store(out + offset + places, high, mask=kept)
    if EXACT:
        tl.store(out_low + offset + places, low, mask=kept)


@triton.jit(do_not_specialize=["frames"])
def _third_convolution(
    x, x_low, out, planes, matrix, matrix_low, vectors, frames,
    TILE: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Three frames of 3 bands of 24 channels to 24 channels, LayerNorm; then the start of the first block."""
    row = tl.program_id(1)
    member = row // 4
    x += row.to(tl.int64) * frames * 120
    x_low += row.to(tl.int64) * frames * 120
    matrix += member * _THIRD_MATRICES
    matrix_low += member * _THIRD_MATRICES
    vectors += member * _THIRD_VECTORS
    frame = tl.program_id(0) * TILE + tl.arange(0, TILE)
    largest = tl.full((TILE, 32), -float("inf"), tl.float32)
    for position in range(3):
        total = tl.zeros((TILE, 32), tl.float32)
        for tap in tl.static_range(3):
            near = frame + (tap - 1)
            inside = (near >= 0) & (near < frames)
            starts = near * 120 + position * 24
            own, own_low = matrix + tap * 2560, matrix_low + tap * 2560
            total = _add_window(total, x, x_low, starts, inside, own, own_low, 64, 64, EXACT)
            total = _add_window(
                total, x, x_low, starts + 64, inside, own + 2048, own_low + 2048, 16, 8, EXACT
            )
        largest = tl.maximum(largest, total)
    channel = tl.arange(0, 32)
    values = elu(largest * UNSCALE + tl.load(vectors + channel)[None, :])
    values = layer_norm(tl.where((channel < 24)[None, :], values, 0.0), vectors, _GAIN, _SHIFT)
    real = frame < frames
    places = row.to(tl.int64) * frames * 24 + (frame[:, None] * 24 + channel[None, :])
    tl.store(out + places, values, mask=real[:, None] & (channel < 24)[None, :])

    plane_stride = tl.num_programs(1).to(tl.int64) * (frames + 1) * 24
    planes += row.to(tl.int64) * (frames + 1) * 24
    open_time_layer(
        values, planes, plane_stride, frame, real, frame <= frames,
        matrix, matrix_low, _NEXT_PLANES, vectors, _NEXT_GAIN, _NEXT_SHIFT, _NEXT_BIAS,
        TILE, EXACT,
    )  # fmt: skip
