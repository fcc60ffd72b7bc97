"""Shared parts of the Hopper kernels: matrices in shared memory, and products of halves.

Matrices are in shared memory in blocks of at most 32 by 32, all high halves before all low ones. As in
:mod:`allin1_backend_torch.triton_network.arithmetic`, a product of float32 is three of float16.

Two properties of the compiler matter here:

- What does not change in a loop is computed before it and kept in registers. For the ``wgmma`` descriptors of all blocks,
  there are too few. A block's number is therefore the sum of a constant and of a zero that the compiler cannot recognize as
  one, and vectors are in shared memory, too.
- Between two stores to shared memory there is a barrier, which loads do not pass. All blocks are therefore read before the
  first is stored; otherwise, a program would wait for one after the other.
"""

# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False
# mypy: disallow-incomplete-defs=False, disable-error-code=assignment

from __future__ import annotations

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import fence_async_shared, warpgroup_mma

from allin1_backend_torch.triton_network import arithmetic

#: Named anew in Triton 3.7.
_barrier = getattr(gl, "thread_barrier", None) or gl.barrier

# The same source, compiled as Gluon.
doubled_gelu = gluon.jit(arithmetic.doubled_gelu.fn)
elu = gluon.jit(arithmetic.elu.fn)


@gluon.constexpr_function
def product_layout(warps):
    """Layout of the result of a product of 16 `warps` rows, and 32 columns."""
    return gl.NVMMADistributedLayout(
        version=[3, 0], warps_per_cta=[warps, 1], instr_shape=[16, 32, 16]
    )


@gluon.jit
def halves(values):
    """Return values rounded to float16, and the rounding errors as float16."""
    high = values.to(gl.float16)
    low = (values - high.to(gl.float32)).to(gl.float16)
    return high, low


@gluon.jit
def operand_halves(values, operand: gl.constexpr):
    """Return high and low halves in the layout of a product's rows."""
    high, low = halves(values)
    return gl.convert_layout(high, operand), gl.convert_layout(low, operand)


@gluon.jit
def add_product(total, high, low, matrices, block, BLOCKS: gl.constexpr):
    """Begin to add the product of rows in halves with one of the `BLOCKS` blocks, the smallest terms first.

    ``warpgroup_mma_wait`` must be given the result and the rows before the result is used.
    """
    own = matrices.index(block)
    total = warpgroup_mma(low, own, total, is_async=True)
    total = warpgroup_mma(high, matrices.index(BLOCKS + block), total, is_async=True)
    return warpgroup_mma(high, own, total, is_async=True)


@gluon.jit
def begin_product(zeros, high, low, matrices, block, BLOCKS: gl.constexpr):
    """Like :func:`add_product`, without a total. `zeros` gives the layout; its values are not read."""
    own = matrices.index(block)
    total = warpgroup_mma(low, own, zeros, use_acc=False, is_async=True)
    total = warpgroup_mma(high, matrices.index(BLOCKS + block), total, is_async=True)
    return warpgroup_mma(high, own, total, is_async=True)


@gluon.jit
def load_block(matrix, offset: gl.constexpr, stride: gl.constexpr):
    """Load the block of 32 by 32 from `offset` on; its rows are `stride` apart."""
    blocked: gl.constexpr = gl.BlockedLayout([1, 8], [8, 4], [gl.num_warps(), 1], [1, 0])
    row = gl.arange(0, 32, gl.SliceLayout(1, blocked))
    column = gl.arange(0, 32, gl.SliceLayout(0, blocked))
    return gl.load(matrix + offset + (row[:, None] * stride + column[None, :]))


@gluon.jit
def store_blocks(blocks, shared, first: gl.constexpr, COUNT: gl.constexpr):
    """Store blocks to shared memory, from number `first` on."""
    for i in gl.static_range(COUNT):
        shared.index(first + i).store(blocks[i])


@gluon.jit
def copy_vectors(vectors, COUNT: gl.constexpr):
    """Copy `COUNT` vectors of 32 values to shared memory, and return them there."""
    line: gl.constexpr = gl.BlockedLayout([1], [32], [gl.num_warps()], [0])
    column = gl.arange(0, 32, line)
    lines = ()
    for i in gl.static_range(COUNT):
        lines = lines + (gl.load(vectors + i * 32 + column),)
    unswizzled: gl.constexpr = gl.SwizzledSharedLayout(1, 1, 1, [0])
    shared = gl.allocate_shared_memory(gl.float32, [COUNT, 32], unswizzled)
    store_blocks(lines, shared, 0, COUNT)
    return shared


@gluon.jit
def vector(vectors, offset: gl.constexpr, layout: gl.constexpr):
    """The 32 values from `offset` on, as a row."""
    return vectors.index(offset // 32).load(gl.SliceLayout(0, layout))[None, :]


@gluon.jit
def publish():
    """Make what was stored to shared memory visible to all warps and to their products."""
    fence_async_shared()
    _barrier()
