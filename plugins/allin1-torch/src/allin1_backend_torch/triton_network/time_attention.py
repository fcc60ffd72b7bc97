"""Attention of an instrument's frames to one another, at both dilations of a block.

A query attends to five keys at a distance of the dilation, centred on its own frame and shifted (not padded) at the ends of
the song. A song shorter than the window at the larger dilation is padded to it, for both dilations: padding has one key
and one value, those of the last row of the planes.
"""

# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False
# mypy: disallow-incomplete-defs=False

from __future__ import annotations

import triton
import triton.language as tl

from allin1_backend_torch.network_time import padded_length
from allin1_backend_torch.triton_launching import Launch
from allin1_backend_torch.triton_network.layout import TIME_ATTENTION_VECTORS
from allin1_backend_torch.triton_network.packing import Weights
from allin1_backend_torch.triton_network.workspace import Workspace

_VECTORS = tl.constexpr(TIME_ATTENTION_VECTORS.size)


def launch(block: int, weights: Weights, space: Workspace) -> Launch:
    """From the planes of the time layer of `block` to its contexts."""
    frames = space.frames
    return Launch(
        _time_attention,
        (triton.cdiv(frames, 32), space.rows, 2),
        (
            *(space.time_planes, space.contexts, weights.time_attention_vectors[block]),
            *(frames, padded_length(frames, 1 << block), block),
        ),
        {"TILE": 32, "num_warps": 4},
    )


@triton.jit(do_not_specialize=["frames", "padded_frames", "log_dilation"])
def _time_attention(
    planes, contexts, vectors, frames, padded_frames, log_dilation, TILE: tl.constexpr
):
    """A tile of frames at one of the dilations (the grid's last axis).

    In memory, a row has 24 channels; in registers, two heads of 16, of which the last four are zero.
    """
    row = tl.program_id(1)
    which = tl.program_id(2)
    log_dilation += which
    plane_stride = tl.num_programs(1).to(tl.int64) * (frames + 1) * 24
    queries = planes + 3 * which * plane_stride + row.to(tl.int64) * (frames + 1) * 24
    keys = queries + plane_stride
    values = keys + plane_stride
    head = tl.arange(0, 2)
    biases = vectors + (row // 4) * _VECTORS + which * 32
    channel = tl.arange(0, 16)
    column = (head[:, None] * 12 + channel[None, :])[None, :, :]
    real = (channel < 12)[None, None, :]

    tile = tl.program_id(0) * TILE + tl.arange(0, TILE)
    frame = tl.minimum(
        tile, frames - 1
    )  # after the song, the last frame is repeated and not stored
    query = tl.load(queries + frame[:, None, None] * 24 + column, mask=real, other=0.0).to(
        tl.float32
    )
    # Frames of the same remainder see each other; `place` counts them.
    place = frame >> log_dilation
    remainder = frame & ((1 << log_dilation) - 1)
    places = (padded_frames - remainder + (1 << log_dilation) - 1) >> log_dilation
    start = tl.maximum(tl.minimum(tl.maximum(place - 2, 0), places - 5), 0)
    bias = biases + (start - place + 4)[:, None] + head[None, :] * 16

    k0 = tl.minimum((start << log_dilation) + remainder, frames)[:, None, None] * 24 + column
    k1 = tl.minimum(((start + 1) << log_dilation) + remainder, frames)[:, None, None] * 24 + column
    k2 = tl.minimum(((start + 2) << log_dilation) + remainder, frames)[:, None, None] * 24 + column
    k3 = tl.minimum(((start + 3) << log_dilation) + remainder, frames)[:, None, None] * 24 + column
    k4 = tl.minimum(((start + 4) << log_dilation) + remainder, frames)[:, None, None] * 24 + column
    s0 = tl.sum(query * tl.load(keys + k0, mask=real, other=0.0).to(tl.float32), 2) + tl.load(bias)
    s1 = tl.sum(query * tl.load(keys + k1, mask=real, other=0.0).to(tl.float32), 2) + tl.load(
        bias + 1
    )
    s2 = tl.sum(query * tl.load(keys + k2, mask=real, other=0.0).to(tl.float32), 2) + tl.load(
        bias + 2
    )
    s3 = tl.sum(query * tl.load(keys + k3, mask=real, other=0.0).to(tl.float32), 2) + tl.load(
        bias + 3
    )
    s4 = tl.sum(query * tl.load(keys + k4, mask=real, other=0.0).to(tl.float32), 2) + tl.load(
        bias + 4
    )
    # Trained weights can cause scores of hundreds: the largest must be subtracted before the exponential.
    largest = tl.maximum(tl.maximum(tl.maximum(s0, s1), tl.maximum(s2, s3)), s4)
    s0 = tl.exp2(s0 - largest)
    s1 = tl.exp2(s1 - largest)
    s2 = tl.exp2(s2 - largest)
    s3 = tl.exp2(s3 - largest)
    s4 = tl.exp2(s4 - largest)
    share = 1.0 / (s0 + s1 + s2 + s3 + s4)
    context = (s0 * share)[:, :, None] * tl.load(values + k0, mask=real, other=0.0).to(tl.float32)
    context += (s1 * share)[:, :, None] * tl.load(values + k1, mask=real, other=0.0).to(tl.float32)
    context += (s2 * share)[:, :, None] * tl.load(values + k2, mask=real, other=0.0).to(tl.float32)
    context += (s3 * share)[:, :, None] * tl.load(values + k3, mask=real, other=0.0).to(tl.float32)
    context += (s4 * share)[:, :, None] * tl.load(values + k4, mask=real, other=0.0).to(tl.float32)

    contexts += (which * tl.num_programs(1) + row).to(tl.int64) * frames * 24
    kept = real & (tile < frames)[:, None, None]
    tl.store(contexts + frame[:, None, None] * 24 + column, context, mask=kept)
