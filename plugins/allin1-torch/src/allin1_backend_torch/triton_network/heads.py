"""The heads: LayerNorm, and from the four instruments' channels to 13 logits."""

# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False
# mypy: disallow-incomplete-defs=False

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from allin1_backend_torch.triton_launching import Launch
from allin1_backend_torch.triton_network.arithmetic import layer_norm
from allin1_backend_torch.triton_network.layout import HEAD_MATRICES, HEAD_VECTORS
from allin1_backend_torch.triton_network.packing import Weights
from allin1_backend_torch.triton_network.workspace import Workspace

_MATRICES = tl.constexpr(HEAD_MATRICES.size)
_VECTORS = tl.constexpr(HEAD_VECTORS.size)
_GAIN = tl.constexpr(HEAD_VECTORS.offset("gain"))
_SHIFT = tl.constexpr(HEAD_VECTORS.offset("shift"))
_BIAS = tl.constexpr(HEAD_VECTORS.offset("bias"))


def launch(weights: Weights, space: Workspace, logits: Tensor) -> Launch:
    """From `x` to `logits`, contiguous ``[members, 13, T]``."""
    return Launch(
        _heads,
        (triton.cdiv(space.frames, 64), space.members),
        (space.x, logits, weights.head_matrices, weights.head_vectors, space.frames),
        {"TILE": 64, "num_warps": 4},
    )


@triton.jit(do_not_specialize=["frames"])
def _heads(x, logits, matrix, vectors, frames, TILE: tl.constexpr):
    """A tile of frames of one member."""
    member = tl.program_id(1)
    x += member.to(tl.int64) * 4 * frames * 24
    logits += member.to(tl.int64) * 13 * frames
    matrix += member * _MATRICES
    vectors += member * _VECTORS
    frame = tl.program_id(0) * TILE + tl.arange(0, TILE)
    real = frame < frames
    column = tl.arange(0, 32)
    output = tl.arange(0, 16)
    places = x + (frame[:, None] * 24 + column[None, :])
    mask = real[:, None] & (column < 24)[None, :]
    entries = matrix + (column[:, None] * 16 + output[None, :])
    total = tl.zeros((TILE, 16), tl.float32) + tl.load(vectors + _BIAS + output)[None, :]
    for instrument in tl.static_range(4):
        values = tl.load(places + instrument * frames * 24, mask=mask, other=0.0)
        y = layer_norm(values, vectors, _GAIN, _SHIFT)
        kernel = tl.load(entries + instrument * 512)
        total = tl.dot(y, kernel, total, input_precision="tf32x3")
    kept = real[:, None] & (output < 13)[None, :]
    tl.store(logits + (output[None, :] * frames + frame[:, None]), total, mask=kept)
