"""The sum of a transposed convolution's taps: four from here, four from the place before, with GELU and skip."""

# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False
# mypy: disallow-incomplete-defs=False

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from allin1_backend_torch.triton_demix.arithmetic import gelu
from allin1_backend_torch.triton_network.launching import Launch

#: Values of a program.
BLOCK = 2048


def launch(taps: Tensor, bias: Tensor, skip: Tensor, axis: int) -> Launch:
    """Add GELU of the sum of taps to `skip`, in place.

    Parameters
    ----------
    taps
        Contiguous ``[n, bins, frames, 8 channels]``: products of what is to be lengthened.
    bias
        ``[channels]`` or more.
    skip
        Contiguous, ``[n, length, frames, channels]``, or along the axis of samples ``[n, 1, length, channels]``.
    axis
        Of bins (1) or samples (2).
    """
    frames = taps.shape[2] if axis == 1 else 1
    size = skip[0].numel()
    return Launch(
        _lengthen,
        (triton.cdiv(size, BLOCK), len(taps)),
        (taps, bias, skip, taps.shape[axis], size),
        {"FRAMES": frames, "CHANNELS": skip.shape[-1], "BLOCK": BLOCK, "num_warps": 4},
    )


@triton.jit
def taps_of(place):
    """Where in the lengthened axis, which begins with half a stride that is cut off: its position, and which tap."""
    whole = place + 2
    return whole // 4, whole % 4


@triton.jit(do_not_specialize=["length"])
def _lengthen(
    taps, bias, out, length, size,
    FRAMES: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    number = tl.program_id(1).to(tl.int64)
    taps += number * length * (FRAMES * 8 * CHANNELS)
    out += number * size
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    kept = place < size
    channel = place % CHANNELS
    frame = place // CHANNELS % FRAMES
    now, tap = taps_of(place // (CHANNELS * FRAMES))
    entry = taps + (((now * FRAMES + frame) * 8 + tap) * CHANNELS + channel)
    values = tl.load(bias + channel).to(tl.float32)
    values += tl.load(entry, mask=kept & (now < length), other=0.0).to(tl.float32)
    before = entry + (4 * CHANNELS - FRAMES * 8 * CHANNELS)
    values += tl.load(before, mask=kept & (now >= 1), other=0.0).to(tl.float32)
    skip = tl.load(out + place, mask=kept, other=0.0).to(tl.float32)
    tl.store(out + place, (gelu(values) + skip).to(out.dtype.element_ty), mask=kept)
