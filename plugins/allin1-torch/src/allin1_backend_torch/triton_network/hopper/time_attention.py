"""Attention of an instrument's frames to one another, with a head of a frame in a thread.

A thread has the 12 channels of a head as 8 and 4, so that a score needs no other thread, no exponential is computed twice,
and no register holds padding. Plain Triton spreads a head over four threads, one of which has only padding.
"""

# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False
# mypy: disallow-incomplete-defs=False

from __future__ import annotations

import triton
from triton.experimental import gluon
from triton.experimental.gluon import language as gl

from allin1_backend_torch.network_time import padded_length
from allin1_backend_torch.triton_launching import Launch
from allin1_backend_torch.triton_network.layout import TIME_ATTENTION_VECTORS
from allin1_backend_torch.triton_network.packing import Weights
from allin1_backend_torch.triton_network.workspace import Workspace

_VECTORS = gl.constexpr(TIME_ATTENTION_VECTORS.size)

#: Warps, of 16 frames each: the fastest of 1, 2, 4 and 8 on an H200.
_WARPS = 8


def launch(block: int, weights: Weights, space: Workspace) -> Launch:
    """From the planes of the time layer of `block` to its contexts."""
    frames, tile = space.frames, 16 * _WARPS
    return Launch(
        _time_attention_on_hopper,
        (triton.cdiv(frames, tile), space.rows, 2),
        (
            *(space.time_planes, space.contexts, weights.time_attention_vectors[block]),
            *(frames, padded_length(frames, 1 << block), block),
        ),
        {"TILE": tile, "num_warps": _WARPS},
    )


@gluon.jit
def _places(rows, FIRST: gl.constexpr, COUNT: gl.constexpr, layout: gl.constexpr):
    """Places ``[n, 2, COUNT]`` of channels from `FIRST` on of both heads of `rows`."""
    head = gl.arange(0, 2, gl.SliceLayout(0, gl.SliceLayout(2, layout)))
    channel = gl.arange(0, COUNT, gl.SliceLayout(0, gl.SliceLayout(1, layout)))
    rows = gl.convert_layout(rows, gl.SliceLayout(1, gl.SliceLayout(2, layout)))
    return rows[:, None, None] * 24 + (head[None, :, None] * 12 + (channel[None, None, :] + FIRST))


@gluon.jit
def _load(plane, rows, eights: gl.constexpr, fours: gl.constexpr):
    """Load rows of a plane as ``[n, 2, 8]`` and ``[n, 2, 4]``."""
    first = gl.load(plane + _places(rows, 0, 8, eights)).to(gl.float32)
    return first, gl.load(plane + _places(rows, 8, 4, fours)).to(gl.float32)


@gluon.jit
def _score(query, query_rest, keys, rows, eights: gl.constexpr, fours: gl.constexpr):
    """Scalar products ``[n, 2]`` of queries and keys."""
    key, key_rest = _load(keys, rows, eights, fours)
    rest = gl.convert_layout(gl.sum(query_rest * key_rest, 2), gl.SliceLayout(2, eights))
    return gl.sum(query * key, 2) + rest


@gluon.jit
def _weighted(weight, values, rows, eights: gl.constexpr, fours: gl.constexpr):
    """Values times their weights."""
    value, value_rest = _load(values, rows, eights, fours)
    rest = gl.convert_layout(weight, gl.SliceLayout(2, fours))
    return weight[:, :, None] * value, rest[:, :, None] * value_rest


@gluon.jit(do_not_specialize=["frames", "padded_frames", "log_dilation"])
def _time_attention_on_hopper(
    planes, contexts, vectors, frames, padded_frames, log_dilation, TILE: gl.constexpr
):
    """A tile of frames at one of the dilations (the grid's last axis)."""
    warps: gl.constexpr = gl.num_warps()
    eights: gl.constexpr = gl.BlockedLayout([1, 1, 8], [16, 2, 1], [warps, 1, 1], [2, 1, 0])
    fours: gl.constexpr = gl.BlockedLayout([1, 1, 4], [16, 2, 1], [warps, 1, 1], [2, 1, 0])
    scores: gl.constexpr = gl.SliceLayout(2, eights)
    row = gl.program_id(1)
    which = gl.program_id(2)
    log_dilation += which
    plane_stride = gl.num_programs(1).to(gl.int64) * (frames + 1) * 24
    queries = planes + 3 * which * plane_stride + row.to(gl.int64) * (frames + 1) * 24
    keys = queries + plane_stride
    values = keys + plane_stride

    tile = gl.program_id(0) * TILE + gl.arange(0, TILE, gl.SliceLayout(1, scores))
    frame = gl.minimum(tile, frames - 1)  # after the song, the last is repeated and not stored
    query, rest = _load(queries, frame, eights, fours)
    # Frames of the same remainder see each other; `place` counts them.
    place = frame >> log_dilation
    remainder = frame & ((1 << log_dilation) - 1)
    places = (padded_frames - remainder + (1 << log_dilation) - 1) >> log_dilation
    start = gl.maximum(gl.minimum(gl.maximum(place - 2, 0), places - 5), 0)
    head = gl.arange(0, 2, gl.SliceLayout(0, scores))
    bias = vectors + (row // 4) * _VECTORS + which * 32
    bias += (start - place + 4)[:, None] + head[None, :] * 16

    r0 = gl.minimum((start << log_dilation) + remainder, frames)
    r1 = gl.minimum(((start + 1) << log_dilation) + remainder, frames)
    r2 = gl.minimum(((start + 2) << log_dilation) + remainder, frames)
    r3 = gl.minimum(((start + 3) << log_dilation) + remainder, frames)
    r4 = gl.minimum(((start + 4) << log_dilation) + remainder, frames)
    s0 = _score(query, rest, keys, r0, eights, fours) + gl.load(bias)
    s1 = _score(query, rest, keys, r1, eights, fours) + gl.load(bias + 1)
    s2 = _score(query, rest, keys, r2, eights, fours) + gl.load(bias + 2)
    s3 = _score(query, rest, keys, r3, eights, fours) + gl.load(bias + 3)
    s4 = _score(query, rest, keys, r4, eights, fours) + gl.load(bias + 4)
    # Trained weights can cause scores of hundreds: the largest must be subtracted before the exponential.
    largest = gl.maximum(gl.maximum(gl.maximum(s0, s1), gl.maximum(s2, s3)), s4)
    s0 = gl.exp2(s0 - largest)
    s1 = gl.exp2(s1 - largest)
    s2 = gl.exp2(s2 - largest)
    s3 = gl.exp2(s3 - largest)
    s4 = gl.exp2(s4 - largest)
    share = 1.0 / (s0 + s1 + s2 + s3 + s4)
    context, context_rest = _weighted(s0 * share, values, r0, eights, fours)
    one, one_rest = _weighted(s1 * share, values, r1, eights, fours)
    two, two_rest = _weighted(s2 * share, values, r2, eights, fours)
    three, three_rest = _weighted(s3 * share, values, r3, eights, fours)
    four, four_rest = _weighted(s4 * share, values, r4, eights, fours)
    context = context + one + two + three + four
    context_rest = context_rest + one_rest + two_rest + three_rest + four_rest

    contexts += (which * gl.num_programs(1) + row).to(gl.int64) * frames * 24
    kept = tile < frames
    gl.store(contexts + _places(frame, 0, 8, eights), context, mask=kept[:, None, None])
    kept = gl.convert_layout(kept, gl.SliceLayout(1, gl.SliceLayout(2, fours)))
    gl.store(contexts + _places(frame, 8, 4, fours), context_rest, mask=kept[:, None, None])
