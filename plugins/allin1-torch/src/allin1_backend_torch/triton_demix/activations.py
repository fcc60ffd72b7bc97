"""GELU and gate, each with the bias of the convolution before, which cuDNN would add in a pass of its own."""

# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False
# mypy: disallow-incomplete-defs=False

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from allin1_backend_torch.triton_demix.arithmetic import gelu, sigmoid
from allin1_backend_torch.triton_network.launching import Launch

#: Values of a program.
BLOCK = 2048


def launch_gelu(x: Tensor, bias: Tensor) -> Launch:
    """Add a bias to contiguous ``[n, …, channels]``, and take the GELU, in place."""
    size = x[0].numel()
    options = {"CHANNELS": x.shape[-1], "BLOCK": BLOCK, "num_warps": 4}
    return Launch(_gelu, (triton.cdiv(size, BLOCK), len(x)), (x, bias, size), options)


def launch_gate(x: Tensor, bias: Tensor | None, added: Tensor | None, out: Tensor) -> Launch:
    """Gate contiguous ``[n, bins, frames, 2 channels]``.

    Parameters
    ----------
    bias
        ``[2 channels]``, added before.
    added
        ``[1, bins, 1, channels]``, contiguous, added after.
    """
    size = out[0].numel()
    options = {
        "CHANNELS": out.shape[-1], "BLOCK": BLOCK, "num_warps": 4,
        "BIAS": bias is not None, "ADDED": added is not None,
    }  # fmt: skip
    arguments = (x, x if bias is None else bias, x if added is None else added, out)
    return Launch(
        _gate,
        (triton.cdiv(size, BLOCK), len(x)),
        (*arguments, size, out.shape[2] * out.shape[3]),
        options,
    )


@triton.jit
def _gelu(x, bias, size, CHANNELS: tl.constexpr, BLOCK: tl.constexpr):
    x += tl.program_id(1).to(tl.int64) * size
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    kept = place < size
    values = tl.load(x + place, mask=kept, other=0.0).to(tl.float32)
    values += tl.load(bias + place % CHANNELS).to(tl.float32)
    tl.store(x + place, gelu(values).to(x.dtype.element_ty), mask=kept)


@triton.jit
def _gate(
    x, bias, added, out, size, bin_size,
    CHANNELS: tl.constexpr, BLOCK: tl.constexpr, BIAS: tl.constexpr, ADDED: tl.constexpr,
):  # fmt: skip
    number = tl.program_id(1).to(tl.int64)
    x += number * size * 2
    out += number * size
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    kept = place < size
    channel = place % CHANNELS
    entry = x + (place // CHANNELS * (2 * CHANNELS) + channel)
    linear = tl.load(entry, mask=kept, other=0.0).to(tl.float32)
    gate = tl.load(entry + CHANNELS, mask=kept, other=0.0).to(tl.float32)
    if BIAS:
        linear += tl.load(bias + channel).to(tl.float32)
        gate += tl.load(bias + CHANNELS + channel).to(tl.float32)
    values = linear * sigmoid(gate)
    if ADDED:
        own = place // bin_size * CHANNELS + channel
        values += tl.load(added + own, mask=kept, other=0.0).to(tl.float32)
    tl.store(out + place, values.to(out.dtype.element_ty), mask=kept)
