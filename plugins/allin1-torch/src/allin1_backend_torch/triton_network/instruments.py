"""The instrument layer, and the start of the next block's time layer.

A query attends to five frames, centred on its own and shifted (not padded) at the ends of the song, of five instruments:
the four, and one of zeros that the original pads them with, whose key and value are the biases of the projections. Songs
of fewer than five frames are padded with such frames; their key and value are those of the last row of the planes.
"""

# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False
# mypy: disallow-incomplete-defs=False

from __future__ import annotations

import triton
import triton.language as tl

from allin1_backend_torch.network_parameters import DEPTH
from allin1_backend_torch.triton_launching import Launch
from allin1_backend_torch.triton_network.arithmetic import (
    UNSCALE,
    doubled_gelu,
    layer_norm,
    open_time_layer,
    project,
)
from allin1_backend_torch.triton_network.layout import INSTRUMENT_MATRICES, INSTRUMENT_VECTORS
from allin1_backend_torch.triton_network.packing import Weights
from allin1_backend_torch.triton_network.workspace import Workspace

_MATRICES = tl.constexpr(INSTRUMENT_MATRICES.size)
_OUTPUT = tl.constexpr(INSTRUMENT_MATRICES.offset("output"))
_UP = tl.constexpr(INSTRUMENT_MATRICES.offset("up"))
_DOWN = tl.constexpr(INSTRUMENT_MATRICES.offset("down"))
_NEXT_PLANES = tl.constexpr(INSTRUMENT_MATRICES.offset("next_planes"))
_VECTORS = tl.constexpr(INSTRUMENT_VECTORS.size)
_OUTPUT_BIAS = tl.constexpr(INSTRUMENT_VECTORS.offset("output_bias"))
_GAIN = tl.constexpr(INSTRUMENT_VECTORS.offset("gain"))
_SHIFT = tl.constexpr(INSTRUMENT_VECTORS.offset("shift"))
_UP_BIAS = tl.constexpr(INSTRUMENT_VECTORS.offset("up_bias"))
_DOWN_BIAS = tl.constexpr(INSTRUMENT_VECTORS.offset("down_bias"))
_KEYS_BIAS = tl.constexpr(INSTRUMENT_VECTORS.offset("keys_bias"))
_VALUES_BIAS = tl.constexpr(INSTRUMENT_VECTORS.offset("values_bias"))
_POSITION_BIAS = tl.constexpr(INSTRUMENT_VECTORS.offset("position_bias"))
_NEXT_GAIN = tl.constexpr(INSTRUMENT_VECTORS.offset("next_gain"))
_NEXT_SHIFT = tl.constexpr(INSTRUMENT_VECTORS.offset("next_shift"))
_NEXT_BIAS = tl.constexpr(INSTRUMENT_VECTORS.offset("next_bias"))


def launch(block: int, weights: Weights, space: Workspace, exact: bool) -> Launch:
    """From the planes of the instrument layer of `block` to `x` and the planes of the next block."""
    matrices = weights.instrument_matrices.of(block)
    return Launch(
        _instrument_layer,
        (triton.cdiv(space.frames + 1, 16), space.members),
        (
            *(space.x, space.instrument_planes, space.time_planes, matrices.high, matrices.low),
            *(weights.instrument_vectors[block], space.frames),
        ),
        {"TILE": 16, "EXACT": exact, "LAST": block == DEPTH - 1, "num_warps": 4, "maxnreg": 128},
    )


@triton.jit
def _see_frame(
    query, k0, k1, k2, k3, v0, v1, v2, v3, zero_value, zero_score, bias, largest, total, context
):
    """Update the attention of a query with one more frame of the five instruments.

    An online softmax: `context` and `total` are relative to the `largest` score so far. `bias` points to the position
    bias of the first instrument; those of the others follow at intervals of nine.
    """
    s0 = tl.sum(query * k0, 2) + tl.load(bias)
    s1 = tl.sum(query * k1, 2) + tl.load(bias + 9)
    s2 = tl.sum(query * k2, 2) + tl.load(bias + 18)
    s3 = tl.sum(query * k3, 2) + tl.load(bias + 27)
    s4 = zero_score + tl.load(bias + 36)
    now = tl.maximum(tl.maximum(tl.maximum(s0, s1), tl.maximum(s2, s3)), s4)
    now = tl.maximum(largest, now)
    rescale = tl.exp2(largest - now)
    s0 = tl.exp2(s0 - now)
    s1 = tl.exp2(s1 - now)
    s2 = tl.exp2(s2 - now)
    s3 = tl.exp2(s3 - now)
    s4 = tl.exp2(s4 - now)
    total = total * rescale + (s0 + s1 + s2 + s3 + s4)
    context = (
        context * rescale[:, :, None]
        + s0[:, :, None] * v0
        + s1[:, :, None] * v1
        + s2[:, :, None] * v2
        + s3[:, :, None] * v3
        + s4[:, :, None] * zero_value
    )
    return now, total, context


@triton.jit(do_not_specialize=["frames"])
def _instrument_layer(
    x, planes, next_planes, matrix, matrix_low, vectors, frames,
    TILE: tl.constexpr, EXACT: tl.constexpr, LAST: tl.constexpr,
):  # fmt: skip
    """A tile of frames of a member's four instruments, and at the end of the song one frame of padding."""
    member = tl.program_id(1)
    matrix += member * _MATRICES
    matrix_low += member * _MATRICES
    vectors += member * _VECTORS
    tile = tl.program_id(0) * TILE
    # After the song, the last frame is repeated; the result is not stored.
    frame = tl.minimum(tile + tl.arange(0, TILE), frames - 1)
    head = tl.arange(0, 2)
    channel = tl.arange(0, 16)
    column = (head[:, None] * 12 + channel[None, :])[None, :, :]
    padded_column = (head[:, None] * 16 + channel[None, :])[None, :, :]
    mask = (channel < 12)[None, None, :]
    instrument = (frames + 1) * 24
    plane_stride = tl.num_programs(1).to(tl.int64) * 4 * instrument
    first_plane_row = member.to(tl.int64) * 4 * instrument

    queries = planes + first_plane_row + frame[:, None, None] * 24 + column
    q0 = tl.load(queries, mask=mask, other=0.0).to(tl.float32)
    q1 = tl.load(queries + instrument, mask=mask, other=0.0).to(tl.float32)
    q2 = tl.load(queries + 2 * instrument, mask=mask, other=0.0).to(tl.float32)
    q3 = tl.load(queries + 3 * instrument, mask=mask, other=0.0).to(tl.float32)
    zero_key = tl.load(vectors + _KEYS_BIAS + padded_column)
    zero_value = tl.load(vectors + _VALUES_BIAS + padded_column)
    z0 = tl.sum(q0 * zero_key, 2)
    z1 = tl.sum(q1 * zero_key, 2)
    z2 = tl.sum(q2 * zero_key, 2)
    z3 = tl.sum(q3 * zero_key, 2)
    start = tl.maximum(tl.minimum(tl.maximum(frame - 2, 0), tl.maximum(frames, 5) - 5), 0)
    # [instrument offset + 4, frame offset + 4], 9 by 9: the first instrument's is 4, 3, 2, 1 for the four queries.
    bias = vectors + _POSITION_BIAS + (start - frame + 4)[:, None] + head[None, :] * 96

    m0 = tl.full((TILE, 2), -float("inf"), tl.float32)
    m1 = m0
    m2 = m0
    m3 = m0
    t0 = tl.zeros((TILE, 2), tl.float32)
    t1 = t0
    t2 = t0
    t3 = t0
    c0 = tl.zeros((TILE, 2, 16), tl.float32)
    c1 = c0
    c2 = c0
    c3 = c0
    all_keys = planes + first_plane_row + plane_stride
    for step in range(5):
        keys = all_keys + tl.minimum(start + step, frames)[:, None, None] * 24 + column
        k0 = tl.load(keys, mask=mask, other=0.0).to(tl.float32)
        k1 = tl.load(keys + instrument, mask=mask, other=0.0).to(tl.float32)
        k2 = tl.load(keys + 2 * instrument, mask=mask, other=0.0).to(tl.float32)
        k3 = tl.load(keys + 3 * instrument, mask=mask, other=0.0).to(tl.float32)
        values = keys + plane_stride
        v0 = tl.load(values, mask=mask, other=0.0).to(tl.float32)
        v1 = tl.load(values + instrument, mask=mask, other=0.0).to(tl.float32)
        v2 = tl.load(values + 2 * instrument, mask=mask, other=0.0).to(tl.float32)
        v3 = tl.load(values + 3 * instrument, mask=mask, other=0.0).to(tl.float32)
        near = bias + step
        m0, t0, c0 = _see_frame(
            q0, k0, k1, k2, k3, v0, v1, v2, v3, zero_value, z0, near + 36, m0, t0, c0
        )
        m1, t1, c1 = _see_frame(
            q1, k0, k1, k2, k3, v0, v1, v2, v3, zero_value, z1, near + 27, m1, t1, c1
        )
        m2, t2, c2 = _see_frame(
            q2, k0, k1, k2, k3, v0, v1, v2, v3, zero_value, z2, near + 18, m2, t2, c2
        )
        m3, t3, c3 = _see_frame(
            q3, k0, k1, k2, k3, v0, v1, v2, v3, zero_value, z3, near + 9, m3, t3, c3
        )
    c0 = tl.reshape(c0 * (1.0 / t0)[:, :, None], (TILE, 32))
    c1 = tl.reshape(c1 * (1.0 / t1)[:, :, None], (TILE, 32))
    c2 = tl.reshape(c2 * (1.0 / t2)[:, :, None], (TILE, 32))
    c3 = tl.reshape(c3 * (1.0 / t3)[:, :, None], (TILE, 32))
    # [frame, column, instrument % 2, instrument // 2]: from here on all are rows of one tile, an instrument's together.
    context = tl.join(tl.join(c0, c1), tl.join(c2, c3))
    ROWS: tl.constexpr = 4 * TILE
    context = tl.reshape(tl.permute(context, (3, 2, 0, 1)), (ROWS, 32))
    place = tl.arange(0, ROWS)
    which = place // TILE
    frame = tile + place % TILE
    real = frame < frames
    column = tl.arange(0, 32)
    rows = ((which * frames + frame) * 24)[:, None] + column[None, :]
    places = x + member.to(tl.int64) * 4 * frames * 24 + rows
    mask = real[:, None] & (column < 24)[None, :]
    before = tl.load(places, mask=mask, other=0.0)

    zeros = tl.zeros((ROWS, 32), tl.float32)
    after = project(zeros, context, matrix, matrix_low, _OUTPUT, 32, 32, EXACT)
    after = after * UNSCALE + tl.load(vectors + _OUTPUT_BIAS + column)[None, :] + before
    y = layer_norm(after, vectors, _GAIN, _SHIFT)
    after += tl.load(vectors + _DOWN_BIAS + column)[None, :]
    total = tl.zeros((ROWS, 32), tl.float32)
    for part in tl.static_range(3):
        u = project(zeros, y, matrix, matrix_low, _UP + part * 1024, 32, 32, EXACT)
        u = doubled_gelu(u * UNSCALE + tl.load(vectors + _UP_BIAS + part * 32 + column)[None, :])
        total = project(total, u, matrix, matrix_low, _DOWN + part * 1024, 32, 32, EXACT)
    after += total * UNSCALE
    tl.store(places, after, mask=mask)
    if not LAST:
        open_time_layer(
            after, next_planes + first_plane_row, plane_stride,
            which * (frames + 1) + frame, real, frame <= frames,
            matrix, matrix_low, _NEXT_PLANES, vectors, _NEXT_GAIN, _NEXT_SHIFT, _NEXT_BIAS,
            ROWS, EXACT,
        )  # fmt: skip
