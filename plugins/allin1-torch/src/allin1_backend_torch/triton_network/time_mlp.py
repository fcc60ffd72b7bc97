"""The rest of a time layer, after its attentions, and the start of the instrument layer."""

# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False
# mypy: disallow-incomplete-defs=False

from __future__ import annotations

import triton
import triton.language as tl

from allin1_backend_torch.triton_launching import Launch
from allin1_backend_torch.triton_network.arithmetic import (
    UNSCALE,
    doubled_gelu,
    layer_norm,
    project,
    store_plane,
    store_two_planes,
)
from allin1_backend_torch.triton_network.layout import TIME_MLP_MATRICES, TIME_MLP_VECTORS
from allin1_backend_torch.triton_network.packing import Weights
from allin1_backend_torch.triton_network.workspace import Workspace

_MATRICES = tl.constexpr(TIME_MLP_MATRICES.size)
_OUTPUT = tl.constexpr(TIME_MLP_MATRICES.offset("output"))
_UP = tl.constexpr(TIME_MLP_MATRICES.offset("up"))
_DOWN = tl.constexpr(TIME_MLP_MATRICES.offset("down"))
_QUERIES_KEYS = tl.constexpr(TIME_MLP_MATRICES.offset("queries_keys"))
_VALUES = tl.constexpr(TIME_MLP_MATRICES.offset("values"))
_VECTORS = tl.constexpr(TIME_MLP_VECTORS.size)
_OUTPUT_BIAS = tl.constexpr(TIME_MLP_VECTORS.offset("output_bias"))
_GAIN = tl.constexpr(TIME_MLP_VECTORS.offset("gain"))
_SHIFT = tl.constexpr(TIME_MLP_VECTORS.offset("shift"))
_UP_BIAS = tl.constexpr(TIME_MLP_VECTORS.offset("up_bias"))
_DOWN_BIAS = tl.constexpr(TIME_MLP_VECTORS.offset("down_bias"))
_NEXT_GAIN = tl.constexpr(TIME_MLP_VECTORS.offset("next_gain"))
_NEXT_SHIFT = tl.constexpr(TIME_MLP_VECTORS.offset("next_shift"))
_QUERIES_KEYS_BIAS = tl.constexpr(TIME_MLP_VECTORS.offset("queries_keys_bias"))
_VALUES_BIAS = tl.constexpr(TIME_MLP_VECTORS.offset("values_bias"))


def launch(block: int, weights: Weights, space: Workspace, exact: bool) -> Launch:
    """From the contexts of `block` to `x` and the planes of its instrument layer."""
    matrices = weights.time_mlp_matrices.of(block)
    return Launch(
        _time_mlp,
        (triton.cdiv(space.frames + 1, 64), space.rows),
        (
            *(space.x, space.contexts, space.instrument_planes, matrices.high, matrices.low),
            *(weights.time_mlp_vectors[block], space.frames),
        ),
        {"TILE": 64, "EXACT": exact, "num_warps": 4, "maxnreg": 168},
    )


@triton.jit(do_not_specialize=["frames"])
def _time_mlp(
    x, contexts, planes, matrix, matrix_low, vectors, frames,
    TILE: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """A tile of frames of one instrument, and at the end of the song one row of padding."""
    row = tl.program_id(1)
    member = row // 4
    matrix += member * _MATRICES
    matrix_low += member * _MATRICES
    vectors += member * _VECTORS
    frame = tl.program_id(0) * TILE + tl.arange(0, TILE)
    real = frame < frames
    column = tl.arange(0, 32)
    offset = row.to(tl.int64) * frames * 24
    # Contexts by head, as the rows of the output matrices are.
    by_head = (column // 16) * 12 + column % 16
    mask = real[:, None] & ((column % 16) < 12)[None, :]
    context = contexts + offset + (frame[:, None] * 24 + by_head[None, :])
    near = tl.load(context, mask=mask, other=0.0)
    far = tl.load(context + tl.num_programs(1).to(tl.int64) * frames * 24, mask=mask, other=0.0)
    places = x + offset + (frame[:, None] * 24 + column[None, :])
    mask = real[:, None] & (column < 24)[None, :]
    before = tl.load(places, mask=mask, other=0.0)

    zeros = tl.zeros((TILE, 32), tl.float32)
    biases = vectors + _OUTPUT_BIAS + column
    near = project(zeros, near, matrix, matrix_low, _OUTPUT, 32, 32, EXACT)
    near = near * UNSCALE + tl.load(biases)[None, :] + before
    far = project(zeros, far, matrix, matrix_low, _OUTPUT + 1024, 32, 32, EXACT)
    far = far * UNSCALE + tl.load(biases + 32)[None, :] + before

    # One LayerNorm over the 48 channels of both.
    mean = (tl.sum(near, 1) + tl.sum(far, 1)) * (1.0 / 48)
    counts = (column < 24)[None, :]
    near_centred = tl.where(counts, near - mean[:, None], 0.0)
    far_centred = tl.where(counts, far - mean[:, None], 0.0)
    squares = tl.sum(near_centred * near_centred, 1) + tl.sum(far_centred * far_centred, 1)
    scale = (1.0 / tl.sqrt(squares * (1.0 / 48) + 1e-5))[:, None]
    gain = vectors + _GAIN + column
    shift = vectors + _SHIFT + column
    y_near = near_centred * scale * tl.load(gain)[None, :] + tl.load(shift)[None, :]
    y_far = far_centred * scale * tl.load(gain + 32)[None, :] + tl.load(shift + 32)[None, :]

    after = (near + far) * 0.5 + tl.load(vectors + _DOWN_BIAS + column)[None, :]
    hidden = tl.arange(0, 64)
    total = tl.zeros((TILE, 32), tl.float32)
    for part in tl.static_range(3):
        up = _UP + part * 4096
        u = tl.zeros((TILE, 64), tl.float32)
        u = project(u, y_near, matrix, matrix_low, up, 32, 64, EXACT)
        u = project(u, y_far, matrix, matrix_low, up + 2048, 32, 64, EXACT)
        u = doubled_gelu(u * UNSCALE + tl.load(vectors + _UP_BIAS + part * 64 + hidden)[None, :])
        total = project(total, u, matrix, matrix_low, _DOWN + part * 2048, 64, 32, EXACT)
    after += total * UNSCALE
    tl.store(places, after, mask=mask)

    y = tl.where(real[:, None], layer_norm(after, vectors, _NEXT_GAIN, _NEXT_SHIFT), 0.0)
    kept = frame <= frames
    plane_stride = tl.num_programs(1).to(tl.int64) * (frames + 1) * 24
    planes += row.to(tl.int64) * (frames + 1) * 24
    both = tl.zeros((TILE, 64), tl.float32)
    both = project(both, y, matrix, matrix_low, _QUERIES_KEYS, 32, 64, EXACT)
    both = both * UNSCALE + tl.load(vectors + _QUERIES_KEYS_BIAS + hidden)[None, :]
    store_two_planes(both, planes, plane_stride, frame, kept, TILE)
    values = project(zeros, y, matrix, matrix_low, _VALUES, 32, 32, EXACT)
    values = values * UNSCALE + tl.load(vectors + _VALUES_BIAS + column)[None, :]
    store_plane(values, planes + 2 * plane_stride, frame, kept)
