"""What the network of :mod:`allin1_backend_torch.demix_network` is made of, by PyTorch's own operations.

:class:`Operations` names the parts that can be replaced: products and convolutions together with what is done to their
results, attention, norms of sums, and the two ends, where spectra and waves go in and out. What takes their place
computes the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from allin1_backend_torch.demix_parameters import (
    KERNEL,
    STRIDE,
    Affine,
    Norm,
    Parameters,
    Residual,
)

#: With fewer rows, normalising each separately does not occupy a GPU; their sums are then split.
MANY_ROWS = 200

#: Added to the standard deviation of a segment.
EPS = 1e-5


@dataclass(frozen=True, eq=False)
class Spread:
    """Mean and standard deviation of each segment: float32, of any shape with n values."""

    mean: Tensor
    deviation: Tensor


class Operations(Protocol):
    """Parts of the network.

    Activations are ``[n, bins or 1, frames or samples, channels]`` for n segments; an axis is that of bins (1) or of
    samples (2).
    """

    def channels(self, own: Parameters, segments: Tensor) -> tuple[Tensor, Spread]:
        """Transform float32 ``[n, 2, samples]``, normalise the spectra, and lay them out with channels last."""

    def shorten(self, down: Affine, x: Tensor, axis: int) -> Tensor:
        """Convolve with strides that shorten an axis, a multiple of them, to a quarter; GELU."""

    def residual(self, layer: Residual, x: Tensor) -> Tensor:
        """Run a residual layer; `x` is kept."""

    def gated_product(self, layer: Affine, x: Tensor, added: Tensor | None = None) -> Tensor:
        """Multiply and gate; then add ``[1, bins, 1, channels]``, if given."""

    def gated_convolution(self, layer: Affine, x: Tensor) -> Tensor:
        """Convolve without strides, keeping the size, and gate."""

    def lengthen(self, up: Affine, x: Tensor, axis: int, length: int, skip: Tensor) -> Tensor:
        """Convolve transposed to four times the length of an axis, cut to `length`; GELU; add `skip`."""

    def waves(
        self, own: Parameters, branches: tuple[Tensor, Tensor], spectra: Spread, waves: Spread
    ) -> Tensor:
        """Run the last layers of both branches, undo the normalisation, and add them.

        Float32 ``[n, pairs, samples]``; a pair is a source and one of its two channels of sound.
        """

    def attention(self, q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
        """Attend with each head: ``[n, tokens, channels]`` with contiguous channels, like `q`."""

    def sum_and_norm(self, norm: Norm, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Add `x` to `y`, in place or not; return the sum, and the sum normalised over channels."""

    def norm_of_sum(self, norm: Norm, x: Tensor, y: Tensor) -> Tensor:
        """Add `x` to `y`, in place or not, ``[n, tokens, channels]``; normalise each segment's sum."""


class PlainOperations:
    """PyTorch's operations, on any device."""

    def channels(self, own: Parameters, segments: Tensor) -> tuple[Tensor, Spread]:
        """See :class:`Operations`."""
        # segments, channels, frames, bins, real and imaginary part
        spectra = torch.view_as_real(own.transform.forward(segments))
        mean = spectra.mean((1, 2, 3, 4), keepdim=True)
        deviation = spectra.std((1, 2, 3, 4), keepdim=True)
        count, channels, frames, bins, parts = spectra.shape
        out = torch.empty(
            count, bins, frames, channels * parts, dtype=own.dtype, device=segments.device
        )
        normalised = (spectra - mean) / (EPS + deviation)
        out.view(count, bins, frames, channels, parts).copy_(normalised.permute(0, 3, 2, 1, 4))
        return out, Spread(mean[..., 0], deviation[..., 0])

    def shorten(self, down: Affine, x: Tensor, axis: int) -> Tensor:
        """See :class:`Operations`."""
        return functional.gelu(shortening(down, x, axis, down.bias))

    def residual(self, layer: Residual, x: Tensor) -> Tensor:
        """See :class:`Operations`."""
        beside = {"padding": [0, layer.dilation], "dilation": [1, layer.dilation]}
        inner = convolution(layer.narrow, x, layer.narrow.bias, **beside)
        inner = functional.gelu(_norm_of_rows(layer.narrow_norm, inner))
        inner = _norm_of_rows(layer.widen_norm, product(layer.widen, inner))
        return functional.glu(inner, dim=-1).add_(x)

    def gated_product(self, layer: Affine, x: Tensor, added: Tensor | None = None) -> Tensor:
        """See :class:`Operations`."""
        out = functional.glu(product(layer, x), dim=-1)
        return out if added is None else out + added

    def gated_convolution(self, layer: Affine, x: Tensor) -> Tensor:
        """See :class:`Operations`."""
        return functional.glu(same_size(layer, x, layer.bias), dim=-1)

    def lengthen(self, up: Affine, x: Tensor, axis: int, length: int, skip: Tensor) -> Tensor:
        """See :class:`Operations`."""
        return functional.gelu(_lengthened(up, x, axis, length)) + skip

    def waves(
        self, own: Parameters, branches: tuple[Tensor, Tensor], spectra: Spread, waves: Spread
    ) -> Tensor:
        """See :class:`Operations`."""
        of_bins, of_time = own.frequency.decoders[-1].up, own.time.decoders[-1].up
        frequency = _lengthened(of_bins, branches[0], 1, own.frequency.lengths[0])
        frequency = torch.addcmul(spectra.mean, frequency.float(), spectra.deviation)
        count, bins, frames, _ = frequency.shape
        pairs = torch.view_as_complex(frequency.view(count, bins, frames, -1, 2))
        laid = torch.zeros(
            count, pairs.shape[3], frames, bins + 1, dtype=torch.complex64, device=pairs.device
        )
        laid[..., :bins] = pairs.permute(0, 3, 2, 1)
        out = own.transform.inverse(laid)
        time = _lengthened(of_time, branches[1], 2, own.time.lengths[0])
        time = time[:, 0].float().transpose(1, 2)
        out += torch.addcmul(waves.mean, time, waves.deviation)
        return out

    def attention(self, q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
        """See :class:`Operations`."""
        q, k, v = (x.view(*x.shape[:2], heads, -1).transpose(1, 2) for x in (q, k, v))
        seen = functional.scaled_dot_product_attention(q, k, v)
        return seen.transpose(1, 2).flatten(2)

    def sum_and_norm(self, norm: Norm, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Operations`."""
        x = y.add_(x)
        return x, layer_norm(norm, x)

    def norm_of_sum(self, norm: Norm, x: Tensor, y: Tensor) -> Tensor:
        """See :class:`Operations`."""
        y = y.add_(x)
        if not y.is_cpu or y.dtype != torch.float32:
            return _norm_of_few(norm, y)
        # On a CPU, PyTorch's variance takes several times as long as its norm.
        normalised = functional.layer_norm(y, y.shape[1:], eps=norm.eps)
        return torch.addcmul(norm.bias, normalised, norm.gain)


def product(layer: Affine, x: Tensor) -> Tensor:
    """Multiply the last axis."""
    return linear(x, layer.weight, layer.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``functional.linear`` without gradients; on a CPU by oneDNN if PyTorch offers that.

    PyTorch itself uses MKL, which takes a tenth longer on AMD's processors.
    """
    one_dnn = _linear_of_one_dnn() if x.is_cpu and x.dtype == torch.float32 else None
    if one_dnn is None:
        return functional.linear(x, weight, bias)
    return one_dnn(x, weight, bias)


@cache
def _linear_of_one_dnn() -> Callable[[Tensor, Tensor, Tensor], Tensor] | None:
    """The product that compiled models use; None where it is missing or works otherwise, as it is not public."""

    def product(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return out

    x, weight, bias = torch.eye(16)[:3], torch.arange(16.0 * 32).view(32, 16), torch.ones(32)
    try:
        right = torch.equal(product(x, weight, bias), functional.linear(x, weight, bias))
    except (AttributeError, RuntimeError, TypeError):
        return None
    return product if right else None


def layer_norm(norm: Norm, x: Tensor) -> Tensor:
    """Normalise over channels."""
    return functional.layer_norm(x, norm.gain.shape, norm.gain, norm.bias, norm.eps)


def convolution(
    layer: Affine,
    x: Tensor,
    bias: Tensor | None,
    *,
    stride: list[int] | int = 1,
    padding: list[int],
    dilation: list[int] | int = 1,
) -> Tensor:
    """Convolve over bins and frames; contiguous, with channels last."""
    out = functional.conv2d(x.permute(0, 3, 1, 2), layer.weight, bias, stride, padding, dilation)
    return out.permute(0, 2, 3, 1).contiguous()


def shortening(down: Affine, x: Tensor, axis: int, bias: Tensor | None) -> Tensor:
    """Convolve with strides along an axis."""
    stride, padding = [1, 1], [0, 0]
    stride[axis - 1], padding[axis - 1] = STRIDE, KERNEL // 4
    return convolution(down, x, bias, stride=stride, padding=padding)


def same_size(layer: Affine, x: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve, keeping the size."""
    return convolution(layer, x, bias, padding=[layer.weight.shape[2] // 2, 1])


def _lengthened(up: Affine, x: Tensor, axis: int, length: int) -> Tensor:
    """Convolve transposed, with a kernel of two strides: one product, and a sum shifted by a stride.

    cuDNN's choice of algorithm depends on the number of segments, and can be many times slower.
    """
    taps = functional.linear(x, up.weight)
    now, later = taps.chunk(2, dim=-1)
    count, bins, frames, width = now.shape
    if axis == 2:
        out = torch.empty(count, bins, frames + 1, width, dtype=x.dtype, device=x.device)
        torch.add(now, up.bias, out=out[:, :, :frames])
        out[:, :, frames] = up.bias
        out[:, :, 1:] += later
        return out.view(count, bins, STRIDE * (frames + 1), -1).narrow(2, KERNEL // 4, length)
    now, later = (
        half.view(count, bins, frames, STRIDE, -1).transpose(2, 3) for half in (now, later)
    )
    bias = up.bias.view(STRIDE, 1, -1)
    out = torch.empty(
        count, bins + 1, STRIDE, frames, width // STRIDE, dtype=x.dtype, device=x.device
    )
    torch.add(now, bias, out=out[:, :bins])
    out[:, bins] = bias
    out[:, 1:] += later
    return out.view(count, STRIDE * (bins + 1), frames, -1).narrow(1, KERNEL // 4, length)


def _norm_of_rows(norm: Norm, x: Tensor) -> Tensor:
    """Normalise over frames and channels, for each segment and bin."""
    rows, length = x.shape[0] * x.shape[1], x.shape[2] * x.shape[3]
    if norm.rows is not None and rows >= MANY_ROWS:
        return functional.layer_norm(x.view(rows, length), (length,), *norm.rows, norm.eps).view(
            x.shape
        )
    return _norm_of_few(norm, x.view(rows, *x.shape[2:])).view(x.shape)


def _norm_of_few(norm: Norm, x: Tensor) -> Tensor:
    """Normalise each of a few long rows ``[rows, length, channels]``, by sums that take all of a GPU."""
    mean, variance = _statistics(x.flatten(1))
    gain = torch.rsqrt(variance + norm.eps)[:, None] * norm.gain
    bias = norm.bias - mean[:, None] * gain
    return torch.addcmul(bias[:, None].to(x.dtype), x, gain[:, None].to(x.dtype))


def _statistics(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each row, in float32."""
    if rows.dtype == torch.float32:
        variance, mean = torch.var_mean(rows, 1, correction=0)
        return mean, variance
    # That would round them to half precision; these sums are told not to.
    length = rows.shape[1]
    mean = rows.sum(1, dtype=torch.float32) / length
    norm = torch.linalg.vector_norm(rows, 2, 1, dtype=torch.float32)
    return mean, (norm.square() / length - mean.square()).clamp_min(0)
