"""Candidates for the network's kernels in Gluon, for Hopper GPUs only: weights stay in shared memory for many tiles.

A program belongs to one member. It copies the member's matrices into shared memory once, and processes tiles in a loop.
Products are warp-group products (``wgmma``): the rows come from registers, in the layout in which products leave them, so
that nothing but the weights passes through shared memory, and no barrier is needed in the loop.

`MODE` is 0 for matrices in shared memory as in memory, 1 for transposed ones, 2 for ``mma.sync`` instead of ``wgmma``.
"""

# mypy: ignore-errors

from __future__ import annotations

from allin1_backend_torch.triton_network.layout import (
    INSTRUMENT_MATRICES,
    INSTRUMENT_VECTORS,
    SECOND_MATRICES,
    SECOND_VECTORS,
    TIME_ATTENTION_VECTORS,
    TIME_MLP_MATRICES,
    TIME_MLP_VECTORS,
)
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mma_v2,
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
def matrix_of(weights, index, MODE: gl.constexpr):
    """A block of the matrices, as the right side of a product."""
    block = weights.index(index)
    if MODE == 1:
        block = block.permute((1, 0))
    return block


@gluon.constexpr_function
def product_layout(mode, warps):
    """Layout of products."""
    if mode == 2:
        return gl.NVMMADistributedLayout(
            version=[2, 0], warps_per_cta=[warps, 1], instr_shape=[16, 8]
        )
    return gl.NVMMADistributedLayout(
        version=[3, 0], warps_per_cta=[warps, 1], instr_shape=[16, 32, 16]
    )


@gluon.jit
def add_product(total, high, low, weights, index, LOW: gl.constexpr, MODE: gl.constexpr):
    """Begin to add a product of halves to `total`."""
    own = matrix_of(weights, index, MODE)
    own_low = matrix_of(weights, LOW + index, MODE)
    if MODE == 2:
        right: gl.constexpr = gl.DotOperandLayout(1, total.type.layout, 2)
        own = own.load(right)
        total = mma_v2(low, own, total)
        total = mma_v2(high, own_low.load(right), total)
        total = mma_v2(high, own, total)
    else:
        total = warpgroup_mma(low, own, total, is_async=True)
        total = warpgroup_mma(high, own_low, total, is_async=True)
        total = warpgroup_mma(high, own, total, is_async=True)
    return total


@gluon.jit
def begin_product(total, high, low, weights, index, LOW: gl.constexpr, MODE: gl.constexpr):
    """Begin a product of halves; `total` is zero."""
    if MODE == 2:
        total = add_product(total, high, low, weights, index, LOW, MODE)
    else:
        own = matrix_of(weights, index, MODE)
        own_low = matrix_of(weights, LOW + index, MODE)
        total = warpgroup_mma(low, own, total, use_acc=False, is_async=True)
        total = warpgroup_mma(high, own_low, total, is_async=True)
        total = warpgroup_mma(high, own, total, is_async=True)
    return total


# All blocks of a kind are read before the first is stored: between two stores there is a barrier, which nothing passes, and
# a program would wait for one block after the other.


@gluon.jit
def load_block(matrix, offset: gl.constexpr, stride: gl.constexpr, MODE: gl.constexpr):
    """A block of 32 by 32, to be copied into shared memory."""
    blocked: gl.constexpr = gl.BlockedLayout([1, 8], [8, 4], [gl.num_warps(), 1], [1, 0])
    row = gl.arange(0, 32, gl.SliceLayout(1, blocked))
    column = gl.arange(0, 32, gl.SliceLayout(0, blocked))
    if MODE == 1:
        places = row[:, None] + column[None, :] * stride
    else:
        places = row[:, None] * stride + column[None, :]
    return gl.load(matrix + offset + places)


@gluon.jit
def store_blocks(blocks, weights, first: gl.constexpr, COUNT: gl.constexpr):
    """Store blocks in shared memory, one after the other."""
    for i in gl.static_range(COUNT):
        weights.index(first + i).store(blocks[i])


@gluon.jit
def copy_matrices(matrix, weights, first: gl.constexpr, MODE: gl.constexpr):
    """Copy the high or the low halves of all matrices of a member."""
    blocks = ()
    for i in gl.static_range(2):
        blocks = blocks + (load_block(matrix, OUTPUT + i * 1024, 32, MODE),)
    for part in gl.static_range(6):
        for i in gl.static_range(2):
            blocks = blocks + (
                load_block(matrix, UP + (part // 2) * 4096 + i * 2048 + (part % 2) * 32, 64, MODE),
            )
    for part in gl.static_range(6):
        blocks = blocks + (load_block(matrix, DOWN + part * 1024, 32, MODE),)
    for i in gl.static_range(2):
        blocks = blocks + (load_block(matrix, QUERIES_KEYS + i * 32, 64, MODE),)
    blocks = blocks + (load_block(matrix, VALUES, 32, MODE),)
    store_blocks(blocks, weights, first, BLOCKS)


@gluon.jit
def copy_vectors(vectors, out, COUNT: gl.constexpr):
    """Copy vectors of 32 values into shared memory: from there, the compiler does not keep them in registers."""
    line: gl.constexpr = gl.BlockedLayout([1], [32], [gl.num_warps()], [0])
    column = gl.arange(0, 32, line)
    lines = ()
    for i in gl.static_range(COUNT):
        lines = lines + (gl.load(vectors + i * 32 + column),)
    store_blocks(lines, out, 0, COUNT)


@gluon.jit
def vector(vectors, offset: gl.constexpr, layout: gl.constexpr):
    """The 32 values from `offset` on, as a row."""
    return vectors.index(offset // 32).load(gl.SliceLayout(0, layout))[None, :]


@gluon.jit
def finish_time_layer(
    near_in, far_in, x, planes, plane_stride, weights, own_vectors, base, row, frame, frames,
    product: gl.constexpr, operand: gl.constexpr, MODE: gl.constexpr,
):  # fmt: skip
    """From the contexts of a tile, in the layout of rows of a product, to `x` and the planes of the instrument layer."""
    column = gl.arange(0, 32, gl.SliceLayout(0, product))
    by_head = (column // 16) * 12 + column % 16
    counts = (column < 24)[None, :]
    zeros = gl.full([frame.shape[0], 32], 0.0, gl.float32, product)
    real = frame < frames
    own = x + row * frames * 24 + (frame[:, None] * 24 + column[None, :])
    mask = real[:, None] & counts
    before = gl.load(own, mask=mask, other=0.0)
    near_high, near_low = halves(near_in, operand)
    far_high, far_low = halves(far_in, operand)
    near_sum = begin_product(zeros, near_high, near_low, weights, base + 0, BLOCKS, MODE)
    far_sum = begin_product(zeros, far_high, far_low, weights, base + 1, BLOCKS, MODE)
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
    y = near_centred * scale * vector(own_vectors, GAIN, product) + vector(
        own_vectors, SHIFT, product
    )
    near_high, near_low = halves(y, operand)
    y = far_centred * scale * vector(own_vectors, GAIN + 32, product) + vector(
        own_vectors, SHIFT + 32, product
    )
    far_high, far_low = halves(y, operand)
    after = (near + far) * 0.5 + vector(own_vectors, DOWN_BIAS, product)

    total = zeros
    u_high, u_low = near_high, near_low  # for the first turn only
    for part in gl.static_range(6):
        up = begin_product(zeros, near_high, near_low, weights, base + 2 + 2 * part, BLOCKS, MODE)
        up = add_product(up, far_high, far_low, weights, base + 3 + 2 * part, BLOCKS, MODE)
        if part:
            u, total, near_high, near_low, far_high, far_low, u_high, u_low = warpgroup_mma_wait(
                0, [up, total, near_high, near_low, far_high, far_low, u_high, u_low]
            )
        else:
            u, near_high, near_low, far_high, far_low = warpgroup_mma_wait(
                0, [up, near_high, near_low, far_high, far_low]
            )
        u = gelu(u * UNSCALE + vector(own_vectors, UP_BIAS + part * 32, product))
        u_high, u_low = halves(u, operand)
        total = add_product(total, u_high, u_low, weights, base + 14 + part, BLOCKS, MODE)
    total, u_high, u_low = warpgroup_mma_wait(0, [total, u_high, u_low])
    after += total * UNSCALE
    gl.store(own, after, mask=mask)

    mean = gl.sum(after, 1) * (1.0 / 24)
    centred = gl.where(counts, after - mean[:, None], 0.0)
    scale = gl.rsqrt(gl.sum(centred * centred, 1) * (1.0 / 24) + 1e-5)[:, None]
    y = centred * scale * vector(own_vectors, NEXT_GAIN, product)
    y = gl.where(real[:, None], y + vector(own_vectors, NEXT_SHIFT, product), 0.0)
    high, low = halves(y, operand)
    queries = begin_product(zeros, high, low, weights, base + 20, BLOCKS, MODE)
    keys = begin_product(zeros, high, low, weights, base + 21, BLOCKS, MODE)
    values = begin_product(zeros, high, low, weights, base + 22, BLOCKS, MODE)
    queries, keys, values, high, low = warpgroup_mma_wait(0, [queries, keys, values, high, low])
    places = planes + row * (frames + 1) * 24 + (frame[:, None] * 24 + by_head[None, :])
    kept = (frame <= frames)[:, None] & ((column % 16) < 12)[None, :]
    gl.store(places, queries * UNSCALE + vector(own_vectors, QUERIES_KEYS_BIAS, product), mask=kept)
    places += plane_stride
    gl.store(
        places, keys * UNSCALE + vector(own_vectors, QUERIES_KEYS_BIAS + 32, product), mask=kept
    )
    places += plane_stride
    bias = vector(own_vectors, VALUES_BIAS, product)
    gl.store(places, values * UNSCALE + bias, mask=kept)


@gluon.jit(do_not_specialize=["frames"])
def time_mlp_hopper(
    x, contexts, planes, matrix, matrix_low, vectors, frames,
    TILE: gl.constexpr, MODE: gl.constexpr,
):  # fmt: skip
    """As ``_time_mlp``; the grid is a number of programs that share a member's tiles, and the members."""
    product: gl.constexpr = product_layout(MODE, gl.num_warps())
    operand: gl.constexpr = gl.DotOperandLayout(0, product, 2)
    shared: gl.constexpr = gl.NVMMASharedLayout.get_default_for([32, 32], gl.float16)
    member = gl.program_id(1)
    weights = gl.allocate_shared_memory(gl.float16, [2 * BLOCKS, 32, 32], shared)
    copy_matrices(matrix + member * MATRICES, weights, 0, MODE)
    copy_matrices(matrix_low + member * MATRICES, weights, BLOCKS, MODE)
    own_vectors = gl.allocate_shared_memory(
        gl.float32, [VECTORS // 32, 32], gl.SwizzledSharedLayout(1, 1, 1, [0])
    )
    copy_vectors(vectors + member * VECTORS, own_vectors, VECTORS // 32)
    fence_async_shared()
    barrier()

    rows = gl.num_programs(1) * 4
    plane_stride = rows.to(gl.int64) * (frames + 1) * 24
    context_stride = rows.to(gl.int64) * frames * 24
    operand_column = gl.arange(0, 32, gl.SliceLayout(0, operand))
    operand_by_head = (operand_column // 16) * 12 + operand_column % 16
    tiles = (frames + TILE) // TILE
    for number in range(gl.program_id(0), 4 * tiles, gl.num_programs(0)):
        # Zero, which the compiler does not know: else it computes the descriptors of all blocks before the loop, and keeps
        # them in registers.
        base = number >> 30
        row = (member * 4 + number // tiles).to(gl.int64)
        first = (number % tiles) * TILE
        frame = first + gl.arange(0, TILE, gl.SliceLayout(1, product))
        operand_frame = first + gl.arange(0, TILE, gl.SliceLayout(1, operand))
        places = operand_frame[:, None] * 24 + operand_by_head[None, :]
        mask = (operand_frame < frames)[:, None] & ((operand_column % 16) < 12)[None, :]
        context = contexts + row * frames * 24
        near_in = gl.load(context + places, mask=mask, other=0.0)
        far_in = gl.load(context + context_stride + places, mask=mask, other=0.0)
        finish_time_layer(
            near_in, far_in, x, planes, plane_stride, weights, own_vectors, base, row, frame, frames,
            product, operand, MODE,
        )  # fmt: skip


I_MATRICES = gl.constexpr(INSTRUMENT_MATRICES.size)
I_VECTORS = gl.constexpr(INSTRUMENT_VECTORS.size)
I_OUTPUT = gl.constexpr(INSTRUMENT_MATRICES.offset("output"))
I_UP = gl.constexpr(INSTRUMENT_MATRICES.offset("up"))
I_DOWN = gl.constexpr(INSTRUMENT_MATRICES.offset("down"))
I_NEXT_PLANES = gl.constexpr(INSTRUMENT_MATRICES.offset("next_planes"))
I_OUTPUT_BIAS = gl.constexpr(INSTRUMENT_VECTORS.offset("output_bias"))
I_GAIN = gl.constexpr(INSTRUMENT_VECTORS.offset("gain"))
I_SHIFT = gl.constexpr(INSTRUMENT_VECTORS.offset("shift"))
I_UP_BIAS = gl.constexpr(INSTRUMENT_VECTORS.offset("up_bias"))
I_DOWN_BIAS = gl.constexpr(INSTRUMENT_VECTORS.offset("down_bias"))
I_KEYS_BIAS = gl.constexpr(INSTRUMENT_VECTORS.offset("keys_bias"))
I_VALUES_BIAS = gl.constexpr(INSTRUMENT_VECTORS.offset("values_bias"))
I_POSITION_BIAS = gl.constexpr(INSTRUMENT_VECTORS.offset("position_bias"))
I_NEXT_GAIN = gl.constexpr(INSTRUMENT_VECTORS.offset("next_gain"))
I_NEXT_SHIFT = gl.constexpr(INSTRUMENT_VECTORS.offset("next_shift"))
I_NEXT_BIAS = gl.constexpr(INSTRUMENT_VECTORS.offset("next_bias"))

#: Blocks of the instrument layer: 1 of `output`, 3 of `up`, 3 of `down`, 6 of the next planes.
I_BLOCKS = gl.constexpr(13)

T_VECTORS = gl.constexpr(TIME_ATTENTION_VECTORS.size)


# Attention: a thread holds the 12 channels of a head of a frame, as 8 and 4, so that a score needs no other thread, no
# exponential is computed twice, and no register holds padding. Plain Triton spreads a head over four threads, of which one
# holds padding, as loads of 16 bytes are what it lays values out for.


@gluon.jit
def load_heads(pointer, rows, eights: gl.constexpr, fours: gl.constexpr):
    """Rows of a plane as ``[n, 2, 8]`` and ``[n, 2, 4]``."""
    head = gl.arange(0, 2, gl.SliceLayout(0, gl.SliceLayout(2, eights)))
    channel = gl.arange(0, 8, gl.SliceLayout(0, gl.SliceLayout(1, eights)))
    places = head[None, :, None] * 12 + channel[None, None, :]
    first = gl.load(pointer + (rows[:, None, None] * 24 + places)).to(gl.float32)
    rows = gl.convert_layout(rows, gl.SliceLayout(1, gl.SliceLayout(2, fours)))
    head = gl.arange(0, 2, gl.SliceLayout(0, gl.SliceLayout(2, fours)))
    channel = gl.arange(0, 4, gl.SliceLayout(0, gl.SliceLayout(1, fours)))
    places = head[None, :, None] * 12 + (channel[None, None, :] + 8)
    return first, gl.load(pointer + (rows[:, None, None] * 24 + places)).to(gl.float32)


@gluon.jit
def load_padded_heads(pointer, eights: gl.constexpr, fours: gl.constexpr):
    """A vector ``[2, 16]`` of padded heads as ``[1, 2, 8]`` and ``[1, 2, 4]``."""
    head = gl.arange(0, 2, gl.SliceLayout(0, gl.SliceLayout(2, eights)))
    channel = gl.arange(0, 8, gl.SliceLayout(0, gl.SliceLayout(1, eights)))
    first = gl.load(pointer + (head[None, :, None] * 16 + channel[None, None, :]))
    head = gl.arange(0, 2, gl.SliceLayout(0, gl.SliceLayout(2, fours)))
    channel = gl.arange(0, 4, gl.SliceLayout(0, gl.SliceLayout(1, fours)))
    return first, gl.load(pointer + (head[None, :, None] * 16 + (channel[None, None, :] + 8)))


@gluon.jit
def score(qa, qb, ka, kb, layout: gl.constexpr):
    """Scalar products of heads ``[n, 2]``."""
    return gl.sum(qa * ka, 2) + gl.convert_layout(gl.sum(qb * kb, 2), layout)


@gluon.jit
def weighted(weight, va, vb, fours: gl.constexpr):
    """Values times their weights."""
    other = gl.convert_layout(weight, gl.SliceLayout(2, fours))
    return weight[:, :, None] * va, other[:, :, None] * vb


@gluon.jit
def attend(
    queries, plane_stride, vectors, frame, frames, padded_frames, log_dilation,
    scores: gl.constexpr, eights: gl.constexpr, fours: gl.constexpr,
):  # fmt: skip
    """Contexts of frames at one dilation; `vectors` are its position biases."""
    keys = queries + plane_stride
    values = keys + plane_stride
    head = gl.arange(0, 2, gl.SliceLayout(0, scores))
    qa, qb = load_heads(queries, frame, eights, fours)
    place = frame >> log_dilation
    remainder = frame & ((1 << log_dilation) - 1)
    places = (padded_frames - remainder + (1 << log_dilation) - 1) >> log_dilation
    start = gl.maximum(gl.minimum(gl.maximum(place - 2, 0), places - 5), 0)
    bias = vectors + ((start - place + 4)[:, None] + head[None, :] * 16)
    r0 = gl.minimum((start << log_dilation) + remainder, frames)
    r1 = gl.minimum(((start + 1) << log_dilation) + remainder, frames)
    r2 = gl.minimum(((start + 2) << log_dilation) + remainder, frames)
    r3 = gl.minimum(((start + 3) << log_dilation) + remainder, frames)
    r4 = gl.minimum(((start + 4) << log_dilation) + remainder, frames)
    ka, kb = load_heads(keys, r0, eights, fours)
    s0 = score(qa, qb, ka, kb, scores) + gl.load(bias)
    ka, kb = load_heads(keys, r1, eights, fours)
    s1 = score(qa, qb, ka, kb, scores) + gl.load(bias + 1)
    ka, kb = load_heads(keys, r2, eights, fours)
    s2 = score(qa, qb, ka, kb, scores) + gl.load(bias + 2)
    ka, kb = load_heads(keys, r3, eights, fours)
    s3 = score(qa, qb, ka, kb, scores) + gl.load(bias + 3)
    ka, kb = load_heads(keys, r4, eights, fours)
    s4 = score(qa, qb, ka, kb, scores) + gl.load(bias + 4)
    largest = gl.maximum(gl.maximum(gl.maximum(s0, s1), gl.maximum(s2, s3)), s4)
    s0 = gl.exp2(s0 - largest)
    s1 = gl.exp2(s1 - largest)
    s2 = gl.exp2(s2 - largest)
    s3 = gl.exp2(s3 - largest)
    s4 = gl.exp2(s4 - largest)
    share = 1.0 / (s0 + s1 + s2 + s3 + s4)
    va, vb = load_heads(values, r0, eights, fours)
    ca, cb = weighted(s0 * share, va, vb, fours)
    va, vb = load_heads(values, r1, eights, fours)
    a, b = weighted(s1 * share, va, vb, fours)
    ca += a
    cb += b
    va, vb = load_heads(values, r2, eights, fours)
    a, b = weighted(s2 * share, va, vb, fours)
    ca += a
    cb += b
    va, vb = load_heads(values, r3, eights, fours)
    a, b = weighted(s3 * share, va, vb, fours)
    ca += a
    cb += b
    va, vb = load_heads(values, r4, eights, fours)
    a, b = weighted(s4 * share, va, vb, fours)
    ca += a
    cb += b
    return ca, cb


@gluon.jit(do_not_specialize=["frames", "padded_frames", "log_dilation"])
def time_attention_by_head(
    planes, contexts, vectors, frames, padded_frames, log_dilation, TILE: gl.constexpr
):
    """As ``_time_attention``."""
    eights: gl.constexpr = gl.BlockedLayout(
        [1, 1, 8], [16, 2, 1], [gl.num_warps(), 1, 1], [2, 1, 0]
    )
    fours: gl.constexpr = gl.BlockedLayout([1, 1, 4], [16, 2, 1], [gl.num_warps(), 1, 1], [2, 1, 0])
    scores: gl.constexpr = gl.SliceLayout(2, eights)
    row = gl.program_id(1)
    which = gl.program_id(2)
    log_dilation += which
    plane_stride = gl.num_programs(1).to(gl.int64) * (frames + 1) * 24
    queries = planes + 3 * which * plane_stride + row.to(gl.int64) * (frames + 1) * 24
    tile = gl.program_id(0) * TILE + gl.arange(0, TILE, gl.SliceLayout(1, scores))
    frame = gl.minimum(tile, frames - 1)
    bias = vectors + (row // 4) * T_VECTORS + which * 32
    ca, cb = attend(
        queries,
        plane_stride,
        bias,
        frame,
        frames,
        padded_frames,
        log_dilation,
        scores,
        eights,
        fours,
    )

    contexts += (which * gl.num_programs(1) + row).to(gl.int64) * frames * 24
    head = gl.arange(0, 2, gl.SliceLayout(0, gl.SliceLayout(2, eights)))
    channel = gl.arange(0, 8, gl.SliceLayout(0, gl.SliceLayout(1, eights)))
    out = contexts + (
        frame[:, None, None] * 24 + (head[None, :, None] * 12 + channel[None, None, :])
    )
    gl.store(out, ca, mask=(tile < frames)[:, None, None])
    other: gl.constexpr = gl.SliceLayout(1, gl.SliceLayout(2, fours))
    head = gl.arange(0, 2, gl.SliceLayout(0, gl.SliceLayout(2, fours)))
    channel = gl.arange(0, 4, gl.SliceLayout(0, gl.SliceLayout(1, fours)))
    frame = gl.convert_layout(frame, other)
    tile = gl.convert_layout(tile, other)
    out = contexts + (
        frame[:, None, None] * 24 + (head[None, :, None] * 12 + (channel[None, None, :] + 8))
    )
    gl.store(out, cb, mask=(tile < frames)[:, None, None])


@gluon.jit
def keep_context(ca, cb, total, out, TILE: gl.constexpr, eights: gl.constexpr, fours: gl.constexpr):
    """Divide by the sum of the weights, and store ``[TILE, 32]``, by head and padded, in shared memory."""
    ca, cb = weighted(1.0 / total, ca, cb, fours)
    none = gl.full([TILE, 2, 4], 0.0, gl.float32, fours)
    cb = gl.reshape(gl.permute(gl.join(cb, none), (0, 1, 3, 2)), [TILE, 2, 8])
    cb = gl.convert_layout(cb, eights)
    both = gl.reshape(gl.permute(gl.join(ca, cb), (0, 1, 3, 2)), [TILE, 32])
    out.store(both)


@gluon.jit(do_not_specialize=["frames", "padded_frames", "log_dilation"])
def time_layer_hopper(
    x, time_planes, planes, matrix, matrix_low, vectors, attention_vectors,
    frames, padded_frames, log_dilation, TILE: gl.constexpr, MODE: gl.constexpr,
):  # fmt: skip
    """``_time_attention`` and ``_time_mlp`` in one: contexts pass through shared memory. The grid is as before."""
    product: gl.constexpr = product_layout(MODE, gl.num_warps())
    operand: gl.constexpr = gl.DotOperandLayout(0, product, 2)
    shared: gl.constexpr = gl.NVMMASharedLayout.get_default_for([32, 32], gl.float16)
    eights: gl.constexpr = gl.BlockedLayout(
        [1, 1, 8], [16, 2, 1], [gl.num_warps(), 1, 1], [2, 1, 0]
    )
    fours: gl.constexpr = gl.BlockedLayout([1, 1, 4], [16, 2, 1], [gl.num_warps(), 1, 1], [2, 1, 0])
    scores: gl.constexpr = gl.SliceLayout(2, eights)
    member = gl.program_id(1)
    weights = gl.allocate_shared_memory(gl.float16, [2 * BLOCKS, 32, 32], shared)
    copy_matrices(matrix + member * MATRICES, weights, 0, MODE)
    copy_matrices(matrix_low + member * MATRICES, weights, BLOCKS, MODE)
    own_vectors = gl.allocate_shared_memory(
        gl.float32, [VECTORS // 32, 32], gl.SwizzledSharedLayout(1, 1, 1, [0])
    )
    copy_vectors(vectors + member * VECTORS, own_vectors, VECTORS // 32)
    kept_contexts = gl.allocate_shared_memory(
        gl.float32, [1, TILE, 32], gl.SwizzledSharedLayout(4, 1, 8, [1, 0])
    )
    fence_async_shared()
    barrier()

    attention_vectors += member * T_VECTORS
    plane_stride = gl.num_programs(1).to(gl.int64) * 4 * (frames + 1) * 24
    one = gl.full([TILE, 2], 1.0, gl.float32, scores)
    tiles = (frames + TILE) // TILE
    for number in range(gl.program_id(0), 4 * tiles, gl.num_programs(0)):
        base = number >> 30  # zero, as in `time_mlp_hopper`
        row = (member * 4 + number // tiles).to(gl.int64)
        first = (number % tiles) * TILE
        # After the song, the last frame is repeated; of its contexts nothing real is computed.
        seen = gl.minimum(first + gl.arange(0, TILE, gl.SliceLayout(1, scores)), frames - 1)
        queries = time_planes + row * (frames + 1) * 24
        ca, cb = attend(
            queries, plane_stride, attention_vectors, seen, frames, padded_frames, log_dilation,
            scores, eights, fours,
        )  # fmt: skip
        barrier()
        keep_context(ca, cb, one, kept_contexts.index(0), TILE, eights, fours)
        barrier()
        near_in = kept_contexts.index(0).load(operand)
        ca, cb = attend(
            queries + 3 * plane_stride, plane_stride, attention_vectors + 32, seen, frames,
            padded_frames, log_dilation + 1, scores, eights, fours,
        )  # fmt: skip
        barrier()
        keep_context(ca, cb, one, kept_contexts.index(0), TILE, eights, fours)
        barrier()
        far_in = kept_contexts.index(0).load(operand)
        frame = first + gl.arange(0, TILE, gl.SliceLayout(1, product))
        finish_time_layer(
            near_in, far_in, x, planes, plane_stride, weights, own_vectors, base, row, frame, frames,
            product, operand, MODE,
        )  # fmt: skip


@gluon.jit
def see_frame(
    qa, qb, k0a, k0b, k1a, k1b, k2a, k2b, k3a, k3b, v0a, v0b, v1a, v1b, v2a, v2b, v3a, v3b,
    za, zb, zero_score, b0, b1, b2, b3, b4, largest, total, ca, cb,
    scores: gl.constexpr, fours: gl.constexpr,
):  # fmt: skip
    """As ``_see_frame`` of the present kernel."""
    s0 = score(qa, qb, k0a, k0b, scores) + b0
    s1 = score(qa, qb, k1a, k1b, scores) + b1
    s2 = score(qa, qb, k2a, k2b, scores) + b2
    s3 = score(qa, qb, k3a, k3b, scores) + b3
    s4 = zero_score + b4
    now = gl.maximum(gl.maximum(gl.maximum(s0, s1), gl.maximum(s2, s3)), s4)
    now = gl.maximum(largest, now)
    rescale = gl.exp2(largest - now)
    s0 = gl.exp2(s0 - now)
    s1 = gl.exp2(s1 - now)
    s2 = gl.exp2(s2 - now)
    s3 = gl.exp2(s3 - now)
    s4 = gl.exp2(s4 - now)
    total = total * rescale + (s0 + s1 + s2 + s3 + s4)
    ca, cb = weighted(rescale, ca, cb, fours)
    a, b = weighted(s0, v0a, v0b, fours)
    ca += a
    cb += b
    a, b = weighted(s1, v1a, v1b, fours)
    ca += a
    cb += b
    a, b = weighted(s2, v2a, v2b, fours)
    ca += a
    cb += b
    a, b = weighted(s3, v3a, v3b, fours)
    ca += a
    cb += b
    a, b = weighted(s4, za, zb, fours)
    return now, total, ca + a, cb + b


@gluon.jit
def copy_instrument_matrices(matrix, weights, first: gl.constexpr, MODE: gl.constexpr):
    """Copy the high or the low halves of all matrices of a member."""
    blocks = (load_block(matrix, I_OUTPUT, 32, MODE),)
    for i in gl.static_range(3):
        blocks = blocks + (load_block(matrix, I_UP + i * 1024, 32, MODE),)
    for i in gl.static_range(3):
        blocks = blocks + (load_block(matrix, I_DOWN + i * 1024, 32, MODE),)
    for i in gl.static_range(6):
        blocks = blocks + (
            load_block(matrix, I_NEXT_PLANES + (i // 2) * 2048 + (i % 2) * 32, 64, MODE),
        )
    store_blocks(blocks, weights, first, I_BLOCKS)


@gluon.jit(do_not_specialize=["frames"])
def instruments_hopper(
    x, planes, next_planes, matrix, matrix_low, vectors, frames,
    TILE: gl.constexpr, MODE: gl.constexpr, LAST: gl.constexpr,
):  # fmt: skip
    """As ``_instrument_layer``; the grid is a number of programs that share a member's tiles, and the members."""
    product: gl.constexpr = product_layout(MODE, gl.num_warps())
    operand: gl.constexpr = gl.DotOperandLayout(0, product, 2)
    shared: gl.constexpr = gl.NVMMASharedLayout.get_default_for([32, 32], gl.float16)
    eights: gl.constexpr = gl.BlockedLayout(
        [1, 1, 8], [16, 2, 1], [gl.num_warps(), 1, 1], [2, 1, 0]
    )
    fours: gl.constexpr = gl.BlockedLayout([1, 1, 4], [16, 2, 1], [gl.num_warps(), 1, 1], [2, 1, 0])
    scores: gl.constexpr = gl.SliceLayout(2, eights)
    member = gl.program_id(1)
    weights = gl.allocate_shared_memory(gl.float16, [2 * I_BLOCKS, 32, 32], shared)
    copy_instrument_matrices(matrix + member * I_MATRICES, weights, 0, MODE)
    copy_instrument_matrices(matrix_low + member * I_MATRICES, weights, I_BLOCKS, MODE)
    own_vectors = gl.allocate_shared_memory(
        gl.float32, [I_VECTORS // 32, 32], gl.SwizzledSharedLayout(1, 1, 1, [0])
    )
    vectors += member * I_VECTORS
    copy_vectors(vectors, own_vectors, I_VECTORS // 32)
    kept_contexts = gl.allocate_shared_memory(
        gl.float32, [4, TILE, 32], gl.SwizzledSharedLayout(4, 1, 8, [1, 0])
    )
    fence_async_shared()
    barrier()

    instrument = (frames + 1) * 24
    plane_stride = gl.num_programs(1).to(gl.int64) * 4 * instrument
    first_plane_row = member.to(gl.int64) * 4 * instrument
    column = gl.arange(0, 32, gl.SliceLayout(0, product))
    by_head = (column // 16) * 12 + column % 16
    counts = (column < 24)[None, :]
    zeros = gl.full([TILE, 32], 0.0, gl.float32, product)
    head = gl.arange(0, 2, gl.SliceLayout(0, scores))
    tiles = (frames + TILE) // TILE
    for number in range(gl.program_id(0), tiles, gl.num_programs(0)):
        frame = gl.minimum(
            number * TILE + gl.arange(0, TILE, gl.SliceLayout(1, scores)), frames - 1
        )
        queries = planes + first_plane_row
        q0a, q0b = load_heads(queries, frame, eights, fours)
        q1a, q1b = load_heads(queries + instrument, frame, eights, fours)
        q2a, q2b = load_heads(queries + 2 * instrument, frame, eights, fours)
        q3a, q3b = load_heads(queries + 3 * instrument, frame, eights, fours)
        za, zb = load_padded_heads(vectors + I_KEYS_BIAS, eights, fours)
        z0 = score(q0a, q0b, za, zb, scores)
        z1 = score(q1a, q1b, za, zb, scores)
        z2 = score(q2a, q2b, za, zb, scores)
        z3 = score(q3a, q3b, za, zb, scores)
        za, zb = load_padded_heads(vectors + I_VALUES_BIAS, eights, fours)
        start = gl.maximum(gl.minimum(gl.maximum(frame - 2, 0), gl.maximum(frames, 5) - 5), 0)
        bias = vectors + I_POSITION_BIAS + ((start - frame + 4)[:, None] + head[None, :] * 96)
        m0 = gl.full([TILE, 2], -float("inf"), gl.float32, scores)
        m1 = m0
        m2 = m0
        m3 = m0
        t0 = gl.full([TILE, 2], 0.0, gl.float32, scores)
        t1 = t0
        t2 = t0
        t3 = t0
        c0a = gl.full([TILE, 2, 8], 0.0, gl.float32, eights)
        c0b = gl.full([TILE, 2, 4], 0.0, gl.float32, fours)
        c1a = c0a
        c1b = c0b
        c2a = c0a
        c2b = c0b
        c3a = c0a
        c3b = c0b
        for step in range(5):
            rows = gl.minimum(start + step, frames)
            keys = queries + plane_stride
            k0a, k0b = load_heads(keys, rows, eights, fours)
            k1a, k1b = load_heads(keys + instrument, rows, eights, fours)
            k2a, k2b = load_heads(keys + 2 * instrument, rows, eights, fours)
            k3a, k3b = load_heads(keys + 3 * instrument, rows, eights, fours)
            keys += plane_stride
            v0a, v0b = load_heads(keys, rows, eights, fours)
            v1a, v1b = load_heads(keys + instrument, rows, eights, fours)
            v2a, v2b = load_heads(keys + 2 * instrument, rows, eights, fours)
            v3a, v3b = load_heads(keys + 3 * instrument, rows, eights, fours)
            near = bias + step
            b1 = gl.load(near + 9)
            b2 = gl.load(near + 18)
            b3 = gl.load(near + 27)
            b4 = gl.load(near + 36)
            b5 = gl.load(near + 45)
            b6 = gl.load(near + 54)
            b7 = gl.load(near + 63)
            b8 = gl.load(near + 72)
            m0, t0, c0a, c0b = see_frame(
                q0a, q0b, k0a, k0b, k1a, k1b, k2a, k2b, k3a, k3b,
                v0a, v0b, v1a, v1b, v2a, v2b, v3a, v3b,
                za, zb, z0, b4, b5, b6, b7, b8, m0, t0, c0a, c0b, scores, fours,
            )  # fmt: skip
            m1, t1, c1a, c1b = see_frame(
                q1a, q1b, k0a, k0b, k1a, k1b, k2a, k2b, k3a, k3b,
                v0a, v0b, v1a, v1b, v2a, v2b, v3a, v3b,
                za, zb, z1, b3, b4, b5, b6, b7, m1, t1, c1a, c1b, scores, fours,
            )  # fmt: skip
            m2, t2, c2a, c2b = see_frame(
                q2a, q2b, k0a, k0b, k1a, k1b, k2a, k2b, k3a, k3b,
                v0a, v0b, v1a, v1b, v2a, v2b, v3a, v3b,
                za, zb, z2, b2, b3, b4, b5, b6, m2, t2, c2a, c2b, scores, fours,
            )  # fmt: skip
            m3, t3, c3a, c3b = see_frame(
                q3a, q3b, k0a, k0b, k1a, k1b, k2a, k2b, k3a, k3b,
                v0a, v0b, v1a, v1b, v2a, v2b, v3a, v3b,
                za, zb, z3, b1, b2, b3, b4, b5, m3, t3, c3a, c3b, scores, fours,
            )  # fmt: skip
        barrier()
        keep_context(c0a, c0b, t0, kept_contexts.index(0), TILE, eights, fours)
        keep_context(c1a, c1b, t1, kept_contexts.index(1), TILE, eights, fours)
        keep_context(c2a, c2b, t2, kept_contexts.index(2), TILE, eights, fours)
        keep_context(c3a, c3b, t3, kept_contexts.index(3), TILE, eights, fours)
        barrier()

        line = number * TILE + gl.arange(0, TILE, gl.SliceLayout(1, product))
        real = line < frames
        mask = real[:, None] & counts
        kept = (line <= frames)[:, None] & ((column % 16) < 12)[None, :]
        for own_instrument in range(4):
            base = (number + own_instrument) >> 30  # zero, as in the time layer
            row = (member * 4 + own_instrument).to(gl.int64)
            own = x + row * frames * 24 + (line[:, None] * 24 + column[None, :])
            before = gl.load(own, mask=mask, other=0.0)
            context = kept_contexts.index(own_instrument).load(operand)
            high, low = halves(context, operand)
            total = begin_product(zeros, high, low, weights, base, I_BLOCKS, MODE)
            after, high, low = warpgroup_mma_wait(0, [total, high, low])
            after = after * UNSCALE + (vector(own_vectors, I_OUTPUT_BIAS, product) + before)
            mean = gl.sum(after, 1) * (1.0 / 24)
            centred = gl.where(counts, after - mean[:, None], 0.0)
            scale = gl.rsqrt(gl.sum(centred * centred, 1) * (1.0 / 24) + 1e-5)[:, None]
            y = centred * scale * vector(own_vectors, I_GAIN, product)
            y += vector(own_vectors, I_SHIFT, product)
            after += vector(own_vectors, I_DOWN_BIAS, product)
            high, low = halves(y, operand)
            # All three at once: 48 registers more than one by one, but one wait instead of three.
            up0 = begin_product(zeros, high, low, weights, base + 1, I_BLOCKS, MODE)
            up1 = begin_product(zeros, high, low, weights, base + 2, I_BLOCKS, MODE)
            up2 = begin_product(zeros, high, low, weights, base + 3, I_BLOCKS, MODE)
            up0, up1, up2, high, low = warpgroup_mma_wait(0, [up0, up1, up2, high, low])
            u = gelu(up0 * UNSCALE + vector(own_vectors, I_UP_BIAS, product))
            h0, l0 = halves(u, operand)
            total = begin_product(zeros, h0, l0, weights, base + 4, I_BLOCKS, MODE)
            u = gelu(up1 * UNSCALE + vector(own_vectors, I_UP_BIAS + 32, product))
            h1, l1 = halves(u, operand)
            total = add_product(total, h1, l1, weights, base + 5, I_BLOCKS, MODE)
            u = gelu(up2 * UNSCALE + vector(own_vectors, I_UP_BIAS + 64, product))
            h2, l2 = halves(u, operand)
            total = add_product(total, h2, l2, weights, base + 6, I_BLOCKS, MODE)
            total, h0, l0, h1, l1, h2, l2 = warpgroup_mma_wait(0, [total, h0, l0, h1, l1, h2, l2])
            after += total * UNSCALE
            gl.store(own, after, mask=mask)
            if not LAST:
                mean = gl.sum(after, 1) * (1.0 / 24)
                centred = gl.where(counts, after - mean[:, None], 0.0)
                scale = gl.rsqrt(gl.sum(centred * centred, 1) * (1.0 / 24) + 1e-5)[:, None]
                y = centred * scale * vector(own_vectors, I_NEXT_GAIN, product)
                y = gl.where(real[:, None], y + vector(own_vectors, I_NEXT_SHIFT, product), 0.0)
                high, low = halves(y, operand)
                places = next_planes + row * instrument
                places = places + (line[:, None] * 24 + by_head[None, :])
                for pair in gl.static_range(3):
                    block = base + 7 + 2 * pair
                    one = begin_product(zeros, high, low, weights, block, I_BLOCKS, MODE)
                    two = begin_product(zeros, high, low, weights, block + 1, I_BLOCKS, MODE)
                    one, two, high, low = warpgroup_mma_wait(0, [one, two, high, low])
                    shift = vector(own_vectors, I_NEXT_BIAS + pair * 64, product)
                    gl.store(places, one * UNSCALE + shift, mask=kept)
                    places += plane_stride
                    shift = vector(own_vectors, I_NEXT_BIAS + pair * 64 + 32, product)
                    gl.store(places, two * UNSCALE + shift, mask=kept)
                    places += plane_stride


S_MATRICES = gl.constexpr(SECOND_MATRICES.size)
S_VECTORS = gl.constexpr(SECOND_VECTORS.size)

# The second convolution: the windows of the three positions are parts of 168 consecutive values, which are read once, in 11
# steps of 16. Position p takes part in steps 0 to 8, 0 to 9, and 1 to 10. A block of 16 by 32 of its matrix, shifted by 12 p,
# is in shared memory for each of these 29 steps.
#
# A thread of a product has values 2 c, 2 c + 1, 2 c + 8 and 2 c + 9 of a step; it reads 4 c to 4 c + 3 instead, 8 bytes at
# once, and the rows of the matrices are in that order.

S_STEPS = gl.constexpr(11)
S_BLOCKS = gl.constexpr(29)


@gluon.constexpr_function
def step_of(step, position):
    """Number of a block, or -1 if the position has no part in a step."""
    first = (0, 0, 1)[position]
    end = (9, 10, 11)[position]
    return (0, 9, 19)[position] + step - first if first <= step < end else -1


@gluon.jit
def copy_window_matrices(matrix, weights, first: gl.constexpr):
    """Copy the high or the low halves of the second convolution's matrix: blocks of each position and step."""
    blocked: gl.constexpr = gl.BlockedLayout([1, 4], [4, 8], [gl.num_warps(), 1], [1, 0])
    row = gl.arange(0, 16, gl.SliceLayout(1, blocked))
    column = gl.arange(0, 32, gl.SliceLayout(0, blocked))
    tap = ((row % 8) // 2) * 4 + (row // 8) * 2 + row % 2
    blocks = ()
    for position in gl.static_range(3):
        for step in gl.static_range(S_STEPS):
            if step_of(step, position) >= 0:
                taps = tap + (step * 16 - position * 12)
                inside = (taps >= 0) & (taps < 144)
                places = taps[:, None] * 32 + column[None, :]
                blocks = blocks + (gl.load(matrix + places, mask=inside[:, None], other=0.0),)
    store_blocks(blocks, weights, first, S_BLOCKS)


@gluon.jit
def load_step(
    x, starts, inside, step: gl.constexpr, TILE: gl.constexpr,
    wide: gl.constexpr, operand: gl.constexpr,
):  # fmt: skip
    """16 values of each row, in the order that is explained above."""
    tap = step * 16 + gl.arange(0, 16, gl.SliceLayout(0, wide))
    mask = inside[:, None] & (tap < 168)[None, :]
    values = gl.load(x + (starts[:, None] + tap[None, :]), mask=mask, other=0.0)
    values = gl.permute(gl.reshape(values, [TILE, 4, 2, 2]), (0, 2, 1, 3))
    return gl.convert_layout(gl.reshape(values, [TILE, 16]), operand)


@gluon.jit
def add_step(total, high, low, weights, base, step: gl.constexpr, position: gl.constexpr):
    """Begin to add what a step is for a position, if anything."""
    number: gl.constexpr = step_of(step, position)
    if number >= 0:
        own = weights.index(base + number)
        total = warpgroup_mma(low, own, total, is_async=True)
        total = warpgroup_mma(high, weights.index(base + (S_BLOCKS + number)), total, is_async=True)
        total = warpgroup_mma(high, own, total, is_async=True)
    return total


@gluon.jit(do_not_specialize=["frames"])
def second_convolution_hopper(
    x, x_low, out, out_low, matrix, matrix_low, vectors, frames, TILE: gl.constexpr
):
    """As ``_second_convolution``; the grid is a number of programs that share a member's tiles, and the members."""
    product: gl.constexpr = product_layout(0, gl.num_warps())
    operand: gl.constexpr = gl.DotOperandLayout(0, product, 2)
    wide: gl.constexpr = gl.DotOperandLayout(0, product, 4)
    shared: gl.constexpr = gl.NVMMASharedLayout.get_default_for([16, 32], gl.float16)
    member = gl.program_id(1)
    weights = gl.allocate_shared_memory(gl.float16, [2 * S_BLOCKS, 16, 32], shared)
    copy_window_matrices(matrix + member * S_MATRICES, weights, 0)
    copy_window_matrices(matrix_low + member * S_MATRICES, weights, S_BLOCKS)
    fence_async_shared()
    barrier()

    channel = gl.arange(0, 32, gl.SliceLayout(0, product))
    bias = gl.load(vectors + member * S_VECTORS + channel)[None, :]
    zeros = gl.full([TILE, 32], 0.0, gl.float32, product)
    tiles = (frames * 5 + TILE - 1) // TILE
    for number in range(gl.program_id(0), 4 * tiles, gl.num_programs(0)):
        base = number >> 30  # zero, as in the time layer
        row = (member * 4 + number // tiles).to(gl.int64)
        first = (number % tiles) * TILE
        place = first + gl.arange(0, TILE, gl.SliceLayout(1, wide))
        inside = place < frames * 5
        starts = (place // 5) * 312 + (place % 5) * 36
        own, own_low = x + row * frames * 312, x_low + row * frames * 312
        t0 = zeros
        t1 = zeros
        t2 = zeros
        h0 = load_step(own, starts, inside, 0, TILE, wide, operand)
        l0 = load_step(own_low, starts, inside, 0, TILE, wide, operand)
        h1 = load_step(own, starts, inside, 1, TILE, wide, operand)
        l1 = load_step(own_low, starts, inside, 1, TILE, wide, operand)
        h2 = load_step(own, starts, inside, 2, TILE, wide, operand)
        l2 = load_step(own_low, starts, inside, 2, TILE, wide, operand)
        h3 = load_step(own, starts, inside, 3, TILE, wide, operand)
        l3 = load_step(own_low, starts, inside, 3, TILE, wide, operand)
        h4 = load_step(own, starts, inside, 4, TILE, wide, operand)
        l4 = load_step(own_low, starts, inside, 4, TILE, wide, operand)
        h5 = load_step(own, starts, inside, 5, TILE, wide, operand)
        l5 = load_step(own_low, starts, inside, 5, TILE, wide, operand)
        h6 = load_step(own, starts, inside, 6, TILE, wide, operand)
        l6 = load_step(own_low, starts, inside, 6, TILE, wide, operand)
        h7 = load_step(own, starts, inside, 7, TILE, wide, operand)
        l7 = load_step(own_low, starts, inside, 7, TILE, wide, operand)
        h8 = load_step(own, starts, inside, 8, TILE, wide, operand)
        l8 = load_step(own_low, starts, inside, 8, TILE, wide, operand)
        h9 = load_step(own, starts, inside, 9, TILE, wide, operand)
        l9 = load_step(own_low, starts, inside, 9, TILE, wide, operand)
        h10 = load_step(own, starts, inside, 10, TILE, wide, operand)
        l10 = load_step(own_low, starts, inside, 10, TILE, wide, operand)
        highs = (h0, h1, h2, h3, h4, h5, h6, h7, h8, h9, h10)
        lows = (l0, l1, l2, l3, l4, l5, l6, l7, l8, l9, l10)
        for step in gl.static_range(S_STEPS):
            t0 = add_step(t0, highs[step], lows[step], weights, base, step, 0)
            t1 = add_step(t1, highs[step], lows[step], weights, base, step, 1)
            t2 = add_step(t2, highs[step], lows[step], weights, base, step, 2)
        waited = warpgroup_mma_wait(
            0,
            [
                t0, t1, t2, h0, h1, h2, h3, h4, h5, h6, h7, h8, h9, h10,
                l0, l1, l2, l3, l4, l5, l6, l7, l8, l9, l10,
            ],
        )  # fmt: skip
        largest = gl.maximum(gl.maximum(waited[0], waited[1]), waited[2])
        values = largest * UNSCALE + bias
        values = gl.where(values > 0, values, gl.exp(gl.minimum(values, 0.0)) - 1.0)
        high = values.to(gl.float16)
        low = (values - high.to(gl.float32)).to(gl.float16)
        place = first + gl.arange(0, TILE, gl.SliceLayout(1, product))
        kept = (place < frames * 5)[:, None] & (channel < 24)[None, :]
        places = row * frames * 120 + (place[:, None] * 24 + channel[None, :])
        gl.store(out + places, high, mask=kept)
        gl.store(out_low + places, low, mask=kept)
