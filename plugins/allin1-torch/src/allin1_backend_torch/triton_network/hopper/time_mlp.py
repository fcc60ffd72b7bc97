"""The rest of a time layer, after its attentions, and the start of the instrument layer."""

# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False
# mypy: disallow-incomplete-defs=False, disable-error-code=assignment

from __future__ import annotations

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import warpgroup_mma_wait

from allin1_backend_torch.triton_launching import Launch
from allin1_backend_torch.triton_network.arithmetic import UNSCALE
from allin1_backend_torch.triton_network.hopper import persistent_grid
from allin1_backend_torch.triton_network.hopper.products import (
    add_product,
    begin_product,
    copy_vectors,
    doubled_gelu,
    load_block,
    operand_halves,
    product_layout,
    publish,
    store_blocks,
    vector,
)
from allin1_backend_torch.triton_network.layout import TIME_MLP_MATRICES, TIME_MLP_VECTORS
from allin1_backend_torch.triton_network.packing import Weights
from allin1_backend_torch.triton_network.workspace import Workspace

_MATRICES = gl.constexpr(TIME_MLP_MATRICES.size)
_OUTPUT = gl.constexpr(TIME_MLP_MATRICES.offset("output"))
_UP = gl.constexpr(TIME_MLP_MATRICES.offset("up"))
_DOWN = gl.constexpr(TIME_MLP_MATRICES.offset("down"))
_QUERIES_KEYS = gl.constexpr(TIME_MLP_MATRICES.offset("queries_keys"))
_VALUES = gl.constexpr(TIME_MLP_MATRICES.offset("values"))
_VECTORS = gl.constexpr(TIME_MLP_VECTORS.size)
_OUTPUT_BIAS = gl.constexpr(TIME_MLP_VECTORS.offset("output_bias"))
_GAIN = gl.constexpr(TIME_MLP_VECTORS.offset("gain"))
_SHIFT = gl.constexpr(TIME_MLP_VECTORS.offset("shift"))
_UP_BIAS = gl.constexpr(TIME_MLP_VECTORS.offset("up_bias"))
_DOWN_BIAS = gl.constexpr(TIME_MLP_VECTORS.offset("down_bias"))
_NEXT_GAIN = gl.constexpr(TIME_MLP_VECTORS.offset("next_gain"))
_NEXT_SHIFT = gl.constexpr(TIME_MLP_VECTORS.offset("next_shift"))
_QUERIES_KEYS_BIAS = gl.constexpr(TIME_MLP_VECTORS.offset("queries_keys_bias"))
_VALUES_BIAS = gl.constexpr(TIME_MLP_VECTORS.offset("values_bias"))

#: Blocks in shared memory: 2 of `output`, 2 for each of 6 parts of `up`, 6 of `down`, 3 of the next planes.
_BLOCKS = gl.constexpr(23)

#: Two programs of 8 warps and 128 registers, 16 warps on a multiprocessor, were faster on an H200 than 8 warps with more
#: registers (0.28 and 0.33 ms a launch): they hide waiting from each other.
_TILE, _OPTIONS = 128, {"num_warps": 8, "maxnreg": 128}


def launch(block: int, weights: Weights, space: Workspace, programs: int) -> Launch:
    """From the contexts of `block` to `x` and the planes of its instrument layer, by so many programs."""
    matrices = weights.time_mlp_matrices.of(block)
    tiles = 4 * ((space.frames + _TILE) // _TILE)
    return Launch(
        _time_mlp_on_hopper,
        persistent_grid(programs, space.members, tiles),
        (
            *(space.x, space.contexts, space.instrument_planes, matrices.high, matrices.low),
            *(weights.time_mlp_vectors[block], space.frames),
        ),
        {"TILE": _TILE, **_OPTIONS},
    )


@gluon.jit
def _copy_matrices(matrix, shared, first: gl.constexpr):
    """Copy the high or the low halves of all matrices of a member."""
    blocks = ()
    for i in gl.static_range(2):
        blocks = blocks + (load_block(matrix, _OUTPUT + i * 1024, 32),)
    for part in gl.static_range(6):
        for i in gl.static_range(2):
            place = (part // 2) * 4096 + i * 2048 + (part % 2) * 32
            blocks = blocks + (load_block(matrix, _UP + place, 64),)
    for part in gl.static_range(6):
        blocks = blocks + (load_block(matrix, _DOWN + part * 1024, 32),)
    for i in gl.static_range(2):
        blocks = blocks + (load_block(matrix, _QUERIES_KEYS + i * 32, 64),)
    blocks = blocks + (load_block(matrix, _VALUES, 32),)
    store_blocks(blocks, shared, first, _BLOCKS)


@gluon.jit
def _process(
    near_in, far_in, x, planes, plane_stride, matrices, vectors, base, frame, frames,
    product: gl.constexpr, operand: gl.constexpr,
):  # fmt: skip
    """Process a tile of an instrument.

    Parameters
    ----------
    near_in, far_in
        Contexts at both dilations, in the layout `operand`.
    x, planes
        Those of the instrument.
    base
        Zero, see :mod:`~allin1_backend_torch.triton_network.hopper.products`.
    """
    column = gl.arange(0, 32, gl.SliceLayout(0, product))
    counts = (column < 24)[None, :]
    zeros = gl.full([frame.shape[0], 32], 0.0, gl.float32, product)
    real = frame < frames
    places = x + (frame[:, None] * 24 + column[None, :])
    mask = real[:, None] & counts
    before = gl.load(places, mask=mask, other=0.0)
    near_high, near_low = operand_halves(near_in, operand)
    far_high, far_low = operand_halves(far_in, operand)
    near = begin_product(zeros, near_high, near_low, matrices, base, _BLOCKS)
    far = begin_product(zeros, far_high, far_low, matrices, base + 1, _BLOCKS)
    near, far, near_high, near_low, far_high, far_low = warpgroup_mma_wait(
        0, [near, far, near_high, near_low, far_high, far_low]
    )
    near = near * UNSCALE + (vector(vectors, _OUTPUT_BIAS, product) + before)
    far = far * UNSCALE + (vector(vectors, _OUTPUT_BIAS + 32, product) + before)

    # One LayerNorm over the 48 channels of both.
    mean = (gl.sum(near, 1) + gl.sum(far, 1)) * (1.0 / 48)
    near_centred = gl.where(counts, near - mean[:, None], 0.0)
    far_centred = gl.where(counts, far - mean[:, None], 0.0)
    squares = gl.sum(near_centred * near_centred + far_centred * far_centred, 1)
    scale = gl.rsqrt(squares * (1.0 / 48) + 1e-5)[:, None]
    y = near_centred * scale * vector(vectors, _GAIN, product) + vector(vectors, _SHIFT, product)
    near_high, near_low = operand_halves(y, operand)
    y = far_centred * scale * vector(vectors, _GAIN + 32, product)
    far_high, far_low = operand_halves(y + vector(vectors, _SHIFT + 32, product), operand)
    after = (near + far) * 0.5 + vector(vectors, _DOWN_BIAS, product)

    total = zeros
    u_high, u_low = near_high, near_low  # for the first turn only
    for part in gl.static_range(6):
        up = begin_product(zeros, near_high, near_low, matrices, base + 2 + 2 * part, _BLOCKS)
        up = add_product(up, far_high, far_low, matrices, base + 3 + 2 * part, _BLOCKS)
        # The previous part's product of `down` may last until here.
        if part:
            up, total, near_high, near_low, far_high, far_low, u_high, u_low = warpgroup_mma_wait(
                0, [up, total, near_high, near_low, far_high, far_low, u_high, u_low]
            )
        else:
            up, near_high, near_low, far_high, far_low = warpgroup_mma_wait(
                0, [up, near_high, near_low, far_high, far_low]
            )
        u = doubled_gelu(up * UNSCALE + vector(vectors, _UP_BIAS + part * 32, product))
        u_high, u_low = operand_halves(u, operand)
        total = add_product(total, u_high, u_low, matrices, base + 14 + part, _BLOCKS)
    total, u_high, u_low = warpgroup_mma_wait(0, [total, u_high, u_low])
    after += total * UNSCALE
    gl.store(places, after, mask=mask)

    mean = gl.sum(after, 1) * (1.0 / 24)
    centred = gl.where(counts, after - mean[:, None], 0.0)
    scale = gl.rsqrt(gl.sum(centred * centred, 1) * (1.0 / 24) + 1e-5)[:, None]
    y = centred * scale * vector(vectors, _NEXT_GAIN, product)
    y = gl.where(real[:, None], y + vector(vectors, _NEXT_SHIFT, product), 0.0)
    high, low = operand_halves(y, operand)
    queries = begin_product(zeros, high, low, matrices, base + 20, _BLOCKS)
    keys = begin_product(zeros, high, low, matrices, base + 21, _BLOCKS)
    values = begin_product(zeros, high, low, matrices, base + 22, _BLOCKS)
    queries, keys, values, high, low = warpgroup_mma_wait(0, [queries, keys, values, high, low])
    # Of the 16 columns of a head, the last four are padding.
    by_head = (column // 16) * 12 + column % 16
    kept = (frame <= frames)[:, None] & ((column % 16) < 12)[None, :]
    places = planes + (frame[:, None] * 24 + by_head[None, :])
    queries = queries * UNSCALE + vector(vectors, _QUERIES_KEYS_BIAS, product)
    gl.store(places, queries, mask=kept)
    places += plane_stride
    keys = keys * UNSCALE + vector(vectors, _QUERIES_KEYS_BIAS + 32, product)
    gl.store(places, keys, mask=kept)
    places += plane_stride
    gl.store(places, values * UNSCALE + vector(vectors, _VALUES_BIAS, product), mask=kept)


@gluon.jit(do_not_specialize=["frames"])
def _time_mlp_on_hopper(
    x, contexts, planes, matrix, matrix_low, vectors, frames, TILE: gl.constexpr
):
    """Tiles of frames of a member's instruments, and at the end of the song one row of padding."""
    product: gl.constexpr = product_layout(gl.num_warps())
    operand: gl.constexpr = gl.DotOperandLayout(0, product, 2)
    shared: gl.constexpr = gl.NVMMASharedLayout.get_default_for([32, 32], gl.float16)
    member = gl.program_id(1)
    matrices = gl.allocate_shared_memory(gl.float16, [2 * _BLOCKS, 32, 32], shared)
    _copy_matrices(matrix + member * _MATRICES, matrices, 0)
    _copy_matrices(matrix_low + member * _MATRICES, matrices, _BLOCKS)
    own_vectors = copy_vectors(vectors + member * _VECTORS, _VECTORS // 32)
    publish()

    rows = gl.num_programs(1) * 4
    plane_stride = rows.to(gl.int64) * (frames + 1) * 24
    context_stride = rows.to(gl.int64) * frames * 24
    column = gl.arange(0, 32, gl.SliceLayout(0, operand))
    by_head = (column // 16) * 12 + column % 16
    tiles = (frames + TILE) // TILE
    for number in range(gl.program_id(0), 4 * tiles, gl.num_programs(0)):
        row = (member * 4 + number // tiles).to(gl.int64)
        first = (number % tiles) * TILE
        frame = first + gl.arange(0, TILE, gl.SliceLayout(1, operand))
        mask = (frame < frames)[:, None] & ((column % 16) < 12)[None, :]
        context = contexts + row * frames * 24 + (frame[:, None] * 24 + by_head[None, :])
        near_in = gl.load(context, mask=mask, other=0.0)
        far_in = gl.load(context + context_stride, mask=mask, other=0.0)
        _process(
            near_in, far_in, x + row * frames * 24, planes + row * (frames + 1) * 24, plane_stride,
            matrices, own_vectors, number >> 30,
            first + gl.arange(0, TILE, gl.SliceLayout(1, product)), frames, product, operand,
        )  # fmt: skip
