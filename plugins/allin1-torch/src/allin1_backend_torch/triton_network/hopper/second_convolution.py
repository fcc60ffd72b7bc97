"""The second convolution: 12 bands of 12 channels to 24 channels, at three positions, of which the maximum is kept.

The windows of the three positions are parts of 168 consecutive values, which are read once, in 11 steps of 16. Position p is
12 p values in, so it takes part in steps 0 to 8, 0 to 9, or 1 to 10. For each of these 29, the matrix's rows, shifted by
12 p, are a block of 16 by 32 in shared memory.

A thread has values 2 c, 2 c + 1, 2 c + 8 and 2 c + 9 of a step in a product. It reads 4 c to 4 c + 3 instead, 8 bytes at once,
and the rows of a block are in that order, too.
"""

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
    elu,
    halves,
    product_layout,
    publish,
    store_blocks,
)
from allin1_backend_torch.triton_network.layout import SECOND_MATRICES, SECOND_VECTORS
from allin1_backend_torch.triton_network.packing import Weights
from allin1_backend_torch.triton_network.workspace import Workspace

_MATRICES = gl.constexpr(SECOND_MATRICES.size)
_VECTORS = gl.constexpr(SECOND_VECTORS.size)
_STEPS = gl.constexpr(11)
_BLOCKS = gl.constexpr(29)

#: Of 8 to 16 warps on a multiprocessor of an H200, 16 were the fastest (0.81 to 1.10 ms a launch).
_TILE, _OPTIONS = 128, {"num_warps": 8, "maxnreg": 128}


def launch(weights: Weights, space: Workspace, programs: int) -> Launch:
    """From the output of the first convolution to that of the second, by so many programs."""
    tiles = 4 * ((space.frames * 5 + _TILE - 1) // _TILE)
    return Launch(
        _second_convolution_on_hopper,
        persistent_grid(programs, space.members, tiles),
        (
            *(space.first[0], space.first[-1], space.second[0], space.second[-1]),
            *(weights.second_matrices.high, weights.second_matrices.low),
            *(weights.second_vectors, space.frames),
        ),
        {"TILE": _TILE, **_OPTIONS},
    )


@gluon.constexpr_function
def _block_of(step, position):
    """Number of a block, or -1 if the position has no part in a step."""
    first = (0, 0, 1)[position]
    end = (9, 10, 11)[position]
    return (0, 9, 19)[position] + step - first if first <= step < end else -1


@gluon.jit
def _copy_matrix(matrix, shared, first: gl.constexpr):
    """Copy the high or the low halves of a member's matrix, in blocks of each position and step."""
    blocked: gl.constexpr = gl.BlockedLayout([1, 4], [4, 8], [gl.num_warps(), 1], [1, 0])
    row = gl.arange(0, 16, gl.SliceLayout(1, blocked))
    column = gl.arange(0, 32, gl.SliceLayout(0, blocked))
    tap = ((row % 8) // 2) * 4 + (row // 8) * 2 + row % 2
    blocks = ()
    for position in gl.static_range(3):
        for step in gl.static_range(_STEPS):
            if _block_of(step, position) >= 0:
                taps = tap + (step * 16 - position * 12)
                inside = (taps >= 0) & (taps < 144)
                places = taps[:, None] * 32 + column[None, :]
                blocks = blocks + (gl.load(matrix + places, mask=inside[:, None], other=0.0),)
    store_blocks(blocks, shared, first, _BLOCKS)


@gluon.jit
def _load_step(
    x, starts, inside, step: gl.constexpr, TILE: gl.constexpr,
    wide: gl.constexpr, operand: gl.constexpr,
):  # fmt: skip
    """Load the 16 values of a step, in the order that is explained above."""
    tap = step * 16 + gl.arange(0, 16, gl.SliceLayout(0, wide))
    mask = inside[:, None] & (tap < 168)[None, :]
    values = gl.load(x + (starts[:, None] + tap[None, :]), mask=mask, other=0.0)
    values = gl.permute(gl.reshape(values, [TILE, 4, 2, 2]), (0, 2, 1, 3))
    return gl.convert_layout(gl.reshape(values, [TILE, 16]), operand)


@gluon.jit
def _add_step(total, high, low, matrices, base, step: gl.constexpr, position: gl.constexpr):
    """Begin to add what a step is for a position, if anything."""
    number: gl.constexpr = _block_of(step, position)
    if number >= 0:
        total = add_product(total, high, low, matrices, base + number, _BLOCKS)
    return total


@gluon.jit(do_not_specialize=["frames"])
def _second_convolution_on_hopper(
    x, x_low, out, out_low, matrix, matrix_low, vectors, frames, TILE: gl.constexpr
):
    """Tiles of (frame, one of 5 bands) of a member's instruments."""
    product: gl.constexpr = product_layout(gl.num_warps())
    operand: gl.constexpr = gl.DotOperandLayout(0, product, 2)
    wide: gl.constexpr = gl.DotOperandLayout(0, product, 4)
    shared: gl.constexpr = gl.NVMMASharedLayout.get_default_for([16, 32], gl.float16)
    member = gl.program_id(1)
    matrices = gl.allocate_shared_memory(gl.float16, [2 * _BLOCKS, 16, 32], shared)
    _copy_matrix(matrix + member * _MATRICES, matrices, 0)
    _copy_matrix(matrix_low + member * _MATRICES, matrices, _BLOCKS)
    publish()

    channel = gl.arange(0, 32, gl.SliceLayout(0, product))
    bias = gl.load(vectors + member * _VECTORS + channel)[None, :]
    zeros = gl.full([TILE, 32], 0.0, gl.float32, product)
    tiles = (frames * 5 + TILE - 1) // TILE
    for number in range(gl.program_id(0), 4 * tiles, gl.num_programs(0)):
        base = number >> 30  # zero, see the module `products`
        row = (member * 4 + number // tiles).to(gl.int64)
        first = (number % tiles) * TILE
        place = first + gl.arange(0, TILE, gl.SliceLayout(1, wide))
        inside = place < frames * 5
        starts = (place // 5) * 312 + (place % 5) * 36
        own, own_low = x + row * frames * 312, x_low + row * frames * 312
        highs = ()
        lows = ()
        for step in gl.static_range(_STEPS):
            highs = highs + (_load_step(own, starts, inside, step, TILE, wide, operand),)
            lows = lows + (_load_step(own_low, starts, inside, step, TILE, wide, operand),)
        t0 = zeros
        t1 = zeros
        t2 = zeros
        for step in gl.static_range(_STEPS):
            t0 = _add_step(t0, highs[step], lows[step], matrices, base, step, 0)
            t1 = _add_step(t1, highs[step], lows[step], matrices, base, step, 1)
            t2 = _add_step(t2, highs[step], lows[step], matrices, base, step, 2)
        waited = warpgroup_mma_wait(0, (t0, t1, t2) + highs + lows)
        largest = gl.maximum(gl.maximum(waited[0], waited[1]), waited[2])
        high, low = halves(elu(largest * UNSCALE + bias))
        place = first + gl.arange(0, TILE, gl.SliceLayout(1, product))
        kept = (place < frames * 5)[:, None] & (channel < 24)[None, :]
        places = row * frames * 120 + (place[:, None] * 24 + channel[None, :])
        gl.store(out + places, high, mask=kept)
        gl.store(out_low + places, low, mask=kept)
