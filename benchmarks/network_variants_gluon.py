"""Candidates for the network's kernels in Gluon, for Hopper GPUs only: weights stay in shared memory for many tiles.

A program belongs to one member. It copies the member's matrices into shared memory once, and processes tiles in a loop.
Products are warp-group products (``wgmma``): the rows come from registers, in the layout in which products leave them, so
that nothing but the weights passes through shared memory, and no barrier is needed in the loop.
"""

# mypy: ignore-errors

from __future__ import annotations

from allin1_backend_torch.triton_network.layout import TIME_MLP_MATRICES, TIME_MLP_VECTORS
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    warpgroup_mma,
    warpgroup_mma_wait,
)

#: Named anew in Triton 3.7.
barrier = getattr(gl, "thread_barrier", None) or gl.barrier

UNSCALE = gl.constexpr(1 / 256)

MATRICES = gl.constexpr(TIME_MLP_MATRICES.size)
VECTORS = gl.constexpr(TIME_MLP_VECTORS.size)
OUTPUT = gl.constexpr(TIME_MLP_MATRICES.offset("output"))
UP = gl.constexpr(TIME_MLP_MATRICES.offset("up"))
DOWN = gl.constexpr(TIME_MLP_MATRICES.offset("down"))
QUERIES_KEYS = gl.constexpr(TIME_MLP_MATRICES.offset("queries_keys"))
VALUES = gl.constexpr(TIME_MLP_MATRICES.offset("values"))
OUTPUT_BIAS = gl.constexpr(TIME_MLP_VECTORS.offset("output_bias"))
GAIN = gl.constexpr(TIME_MLP_VECTORS.offset("gain"))
SHIFT = gl.constexpr(TIME_MLP_VECTORS.offset("shift"))
UP_BIAS = gl.constexpr(TIME_MLP_VECTORS.offset("up_bias"))
DOWN_BIAS = gl.constexpr(TIME_MLP_VECTORS.offset("down_bias"))
NEXT_GAIN = gl.constexpr(TIME_MLP_VECTORS.offset("next_gain"))
NEXT_SHIFT = gl.constexpr(TIME_MLP_VECTORS.offset("next_shift"))
QUERIES_KEYS_BIAS = gl.constexpr(TIME_MLP_VECTORS.offset("queries_keys_bias"))
VALUES_BIAS = gl.constexpr(TIME_MLP_VECTORS.offset("values_bias"))

#: Blocks of 32 by 32 of the matrices in shared memory: 2 of `output`, 12 of `up`, 6 of `down`, 3 of the next planes.
BLOCKS = gl.constexpr(23)


@gluon.jit
def gelu(x):
    """Twice GELU, see ``fast_gelu`` in ``network_variants_kernels``."""
    size = gl.abs(x)
    power = -1.90198857e-06 * size + 2.80556843e-05
    power = power * size - 0.000131465235
    power = power * size - 0.000272101465
    power = power * size + 0.00724546637
    power = power * size - 0.0526276534
    power = power * size - 0.459162124
    power = power * size - 1.15111105
    return x + size - size * gl.exp2(power * size)


@gluon.jit
def halves(values, operand: gl.constexpr):
    """High and low halves, as the rows of a product."""
    high = values.to(gl.float16)
    low = (values - high.to(gl.float32)).to(gl.float16)
    return gl.convert_layout(high, operand), gl.convert_layout(low, operand)


@gluon.jit
def matrix_of(weights, index, BY_COLUMN: gl.constexpr):
    """A block of the matrices, as the right side of a product."""
    block = weights.index(index)
    if BY_COLUMN:
        block = block.permute((1, 0))
    return block


@gluon.jit
def begin_product(total, high, low, weights, index, BY_COLUMN: gl.constexpr):
    """Begin a product of halves; `total` is only a place for it."""
    own = matrix_of(weights, index, BY_COLUMN)
    own_low = matrix_of(weights, BLOCKS + index, BY_COLUMN)
    total = warpgroup_mma(low, own, total, use_acc=False, is_async=True)
    total = warpgroup_mma(high, own_low, total, is_async=True)
    return warpgroup_mma(high, own, total, is_async=True)


@gluon.jit
def add_product(total, high, low, weights, index, BY_COLUMN: gl.constexpr):
    """Begin to add a product of halves to `total`."""
    own = matrix_of(weights, index, BY_COLUMN)
    own_low = matrix_of(weights, BLOCKS + index, BY_COLUMN)
    total = warpgroup_mma(low, own, total, is_async=True)
    total = warpgroup_mma(high, own_low, total, is_async=True)
    return warpgroup_mma(high, own, total, is_async=True)


@gluon.jit
def copy_block(
    matrix, weights, index: gl.constexpr, offset: gl.constexpr, stride: gl.constexpr,
    BY_COLUMN: gl.constexpr,
):  # fmt: skip
    """Copy a block of 32 by 32 into shared memory."""
    blocked: gl.constexpr = gl.BlockedLayout([1, 8], [8, 4], [gl.num_warps(), 1], [1, 0])
    row = gl.arange(0, 32, gl.SliceLayout(1, blocked))
    column = gl.arange(0, 32, gl.SliceLayout(0, blocked))
    if BY_COLUMN:
        places = row[:, None] + column[None, :] * stride
    else:
        places = row[:, None] * stride + column[None, :]
    weights.index(index).store(gl.load(matrix + offset + places))


@gluon.jit
def copy_matrices(matrix, weights, first: gl.constexpr, BY_COLUMN: gl.constexpr):
    """Copy the high or the low halves of all matrices of a member."""
    for i in gl.static_range(2):
        copy_block(matrix, weights, first + i, OUTPUT + i * 1024, 32, BY_COLUMN)
    for part in gl.static_range(6):
        for i in gl.static_range(2):
            copy_block(
                matrix, weights, first + 2 + 2 * part + i,
                UP + (part // 2) * 4096 + i * 2048 + (part % 2) * 32, 64, BY_COLUMN,
            )  # fmt: skip
        copy_block(matrix, weights, first + 14 + part, DOWN + part * 1024, 32, BY_COLUMN)
    for i in gl.static_range(2):
        copy_block(matrix, weights, first + 20 + i, QUERIES_KEYS + i * 32, 64, BY_COLUMN)
    copy_block(matrix, weights, first + 22, VALUES, 32, BY_COLUMN)


@gluon.jit
def copy_vectors(vectors, out, COUNT: gl.constexpr):
    """Copy vectors of 32 values into shared memory: from there, the compiler does not keep them in registers."""
    line: gl.constexpr = gl.BlockedLayout([1], [32], [gl.num_warps()], [0])
    column = gl.arange(0, 32, line)
    for i in gl.static_range(COUNT):
        out.index(i).store(gl.load(vectors + i * 32 + column))


@gluon.jit
def vector(vectors, offset: gl.constexpr, layout: gl.constexpr):
    """The 32 values from `offset` on, as a row."""
    return vectors.index(offset // 32).load(gl.SliceLayout(0, layout))[None, :]


@gluon.jit(do_not_specialize=["frames"])
def time_mlp_hopper(
    x, contexts, planes, matrix, matrix_low, vectors, frames,
    TILE: gl.constexpr, BY_COLUMN: gl.constexpr,
):  # fmt: skip
    """As ``_time_mlp``; the grid is a number of programs that share a member's tiles, and the members."""
    product: gl.constexpr = gl.NVMMADistributedLayout(
        version=[3, 0], warps_per_cta=[gl.num_warps(), 1], instr_shape=[16, 32, 16]
    )
    operand: gl.constexpr = gl.DotOperandLayout(0, product, 2)
    shared: gl.constexpr = gl.NVMMASharedLayout.get_default_for([32, 32], gl.float16)
    member = gl.program_id(1)
    weights = gl.allocate_shared_memory(gl.float16, [2 * BLOCKS, 32, 32], shared)
    copy_matrices(matrix + member * MATRICES, weights, 0, BY_COLUMN)
    copy_matrices(matrix_low + member * MATRICES, weights, BLOCKS, BY_COLUMN)
    own_vectors = gl.allocate_shared_memory(
        gl.float32, [VECTORS // 32, 32], gl.SwizzledSharedLayout(1, 1, 1, [0])
    )
    copy_vectors(vectors + member * VECTORS, own_vectors, VECTORS // 32)
    fence_async_shared()
    barrier()

    rows = gl.num_programs(1) * 4
    plane_stride = rows.to(gl.int64) * (frames + 1) * 24
    context_stride = rows.to(gl.int64) * frames * 24
    column = gl.arange(0, 32, gl.SliceLayout(0, product))
    operand_column = gl.arange(0, 32, gl.SliceLayout(0, operand))
    operand_by_head = (operand_column // 16) * 12 + operand_column % 16
    by_head = (column // 16) * 12 + column % 16
    counts = (column < 24)[None, :]
    zeros = gl.full([TILE, 32], 0.0, gl.float32, product)
    tiles = (frames + TILE) // TILE
    for number in range(gl.program_id(0), 4 * tiles, gl.num_programs(0)):
        # Zero, which the compiler does not know: else it computes the descriptors of all blocks before the loop, and keeps
        # them in registers.
        base = number >> 30
        row = (member * 4 + number // tiles).to(gl.int64)
        first = (number % tiles) * TILE
        frame = first + gl.arange(0, TILE, gl.SliceLayout(1, product))
        operand_frame = first + gl.arange(0, TILE, gl.SliceLayout(1, operand))
        real = frame < frames
        places = operand_frame[:, None] * 24 + operand_by_head[None, :]
        mask = (operand_frame < frames)[:, None] & ((operand_column % 16) < 12)[None, :]
        context = contexts + row * frames * 24
        near_in = gl.load(context + places, mask=mask, other=0.0)
        far_in = gl.load(context + context_stride + places, mask=mask, other=0.0)
        own = x + row * frames * 24 + (frame[:, None] * 24 + column[None, :])
        mask = real[:, None] & counts
        before = gl.load(own, mask=mask, other=0.0)

        near_high, near_low = halves(near_in, operand)
        far_high, far_low = halves(far_in, operand)
        near_sum = begin_product(zeros, near_high, near_low, weights, base + 0, BY_COLUMN)
        far_sum = begin_product(zeros, far_high, far_low, weights, base + 1, BY_COLUMN)
        near, far, near_high, near_low, far_high, far_low = warpgroup_mma_wait(
            0, [near_sum, far_sum, near_high, near_low, far_high, far_low]
        )
        near = near * UNSCALE + (vector(own_vectors, OUTPUT_BIAS, product) + before)
        far = far * UNSCALE + (vector(own_vectors, OUTPUT_BIAS + 32, product) + before)

        mean = (gl.sum(near, 1) + gl.sum(far, 1)) * (1.0 / 48)
        near_centred = gl.where(counts, near - mean[:, None], 0.0)
        far_centred = gl.where(counts, far - mean[:, None], 0.0)
        squares = gl.sum(near_centred * near_centred + far_centred * far_centred, 1)
        scale = gl.rsqrt(squares * (1.0 / 48) + 1e-5)[:, None]
        y = near_centred * scale * vector(own_vectors, GAIN, product) + vector(own_vectors, SHIFT, product)
        near_high, near_low = halves(y, operand)
        y = far_centred * scale * vector(own_vectors, GAIN + 32, product) + vector(own_vectors, SHIFT + 32, product)
        far_high, far_low = halves(y, operand)
        after = (near + far) * 0.5 + vector(own_vectors, DOWN_BIAS, product)

        total = zeros
        for part in gl.static_range(6):
            up = begin_product(zeros, near_high, near_low, weights, base + 2 + 2 * part, BY_COLUMN)
            up = add_product(up, far_high, far_low, weights, base + 3 + 2 * part, BY_COLUMN)
            if part:
                u, total, near_high, near_low, far_high, far_low, u_high, u_low = (
                    warpgroup_mma_wait(
                        0, [up, total, near_high, near_low, far_high, far_low, u_high, u_low]
                    )
                )
            else:
                u, near_high, near_low, far_high, far_low = warpgroup_mma_wait(
                    0, [up, near_high, near_low, far_high, far_low]
                )
            u = gelu(u * UNSCALE + vector(own_vectors, UP_BIAS + part * 32, product))
            u_high, u_low = halves(u, operand)
            total = add_product(total, u_high, u_low, weights, base + 14 + part, BY_COLUMN)
        total, u_high, u_low = warpgroup_mma_wait(0, [total, u_high, u_low])
        after += total * UNSCALE
        gl.store(own, after, mask=mask)

        mean = gl.sum(after, 1) * (1.0 / 24)
        centred = gl.where(counts, after - mean[:, None], 0.0)
        scale = gl.rsqrt(gl.sum(centred * centred, 1) * (1.0 / 24) + 1e-5)[:, None]
        y = centred * scale * vector(own_vectors, NEXT_GAIN, product)
        y = gl.where(real[:, None], y + vector(own_vectors, NEXT_SHIFT, product), 0.0)
        high, low = halves(y, operand)
        queries = begin_product(zeros, high, low, weights, base + 20, BY_COLUMN)
        keys = begin_product(zeros, high, low, weights, base + 21, BY_COLUMN)
        values = begin_product(zeros, high, low, weights, base + 22, BY_COLUMN)
        queries, keys, values, high, low = warpgroup_mma_wait(
            0, [queries, keys, values, high, low]
        )
        places = planes + row * (frames + 1) * 24 + (frame[:, None] * 24 + by_head[None, :])
        kept = (frame <= frames)[:, None] & ((column % 16) < 12)[None, :]
        gl.store(places, queries * UNSCALE + vector(own_vectors, QUERIES_KEYS_BIAS, product), mask=kept)
        places += plane_stride
        gl.store(places, keys * UNSCALE + vector(own_vectors, QUERIES_KEYS_BIAS + 32, product), mask=kept)
        places += plane_stride
        bias = vector(own_vectors, VALUES_BIAS, product)
        gl.store(places, values * UNSCALE + bias, mask=kept)
