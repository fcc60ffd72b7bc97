"""HTDemucs with channels last from end to end, for many segments at once.

Equivalent to Demucs' own module, in another memory layout: activations are ``[segments, bins, frames, channels]`` in the
frequency branch and ``[segments, 1, samples, channels]`` in the time branch. The Fourier transforms, the normalisation at
both ends, and the statistics of all norms are in float32, independent of the type of the activations.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from allin1_backend_torch.demix_parameters import (
    KERNEL,
    STRIDE,
    Affine,
    Attention,
    Decoder,
    Encoder,
    Norm,
    Parameters,
    Residual,
    Tokens,
)

#: With fewer rows, normalising each separately does not occupy a GPU; their sums are then split.
MANY_ROWS = 200

#: Added to the standard deviation of a segment.
EPS = 1e-5


@dataclass(frozen=True, eq=False)
class Network:
    """An HTDemucs.

    Attributes
    ----------
    parameters
        Its parameters on their device.
    """

    parameters: Parameters

    def __call__(self, segments: Tensor) -> Tensor:
        """Separate float32 ``[n, 2, samples]`` into float32 ``[n, sources, 2, samples]``."""
        own = self.parameters
        count, channels, samples = segments.shape
        missing = own.transform.samples - samples
        segments = functional.pad(segments, (0, missing))
        frequency, centre, spread = self._spectra(segments)
        mean = segments.mean((1, 2), keepdim=True)
        deviation = segments.std((1, 2), keepdim=True)
        waves = ((segments - mean) / (EPS + deviation)).transpose(1, 2).to(own.dtype)
        frequency, time = self._separate(frequency, waves[:, None].contiguous())
        out = self._waves(torch.addcmul(centre, frequency.float(), spread))
        time = time[:, 0].float().transpose(1, 2)
        time = torch.addcmul(mean, time, deviation)
        out += time.view(count, own.sources, channels, -1)
        return out[..., :samples]

    def _spectra(self, segments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Transform and normalise; also returns the mean and the standard deviation."""
        own = self.parameters
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
        return out, mean[..., 0], deviation[..., 0]

    def _waves(self, frequency: Tensor) -> Tensor:
        """Transform the output of the frequency branch to samples: float32 ``[n, sources, 2, samples]``."""
        own = self.parameters
        count, bins, frames, _ = frequency.shape
        pairs = torch.view_as_complex(frequency.view(count, bins, frames, -1, 2))
        spectra = torch.zeros(
            count, pairs.shape[3], frames, bins + 1, dtype=torch.complex64, device=pairs.device
        )
        spectra[..., :bins] = pairs.permute(0, 3, 2, 1)
        waves = own.transform.inverse(spectra)
        return waves.view(count, own.sources, -1, waves.shape[-1])

    def _separate(self, frequency: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        own = self.parameters
        skips: list[tuple[Tensor, Tensor]] = []
        for number, (of_bins, of_time) in enumerate(
            zip(own.frequency.encoders, own.time.encoders, strict=True)
        ):
            frequency, time = _encode(of_bins, frequency, 1), _encode(of_time, time, 2)
            if number == 0:
                frequency = frequency + own.bin_embedding
            skips.append((frequency, time))
        frequency, time = attend((own.frequency.tokens, own.time.tokens), (frequency, time))
        lengths = zip(reversed(own.frequency.lengths), reversed(own.time.lengths), strict=True)
        for to_bins, to_time, (bins, samples) in zip(
            own.frequency.decoders, own.time.decoders, lengths, strict=True
        ):
            of_bins_skip, of_time_skip = skips.pop()
            frequency = _decode(to_bins, frequency + of_bins_skip, 1, bins)
            time = _decode(to_time, time + of_time_skip, 2, samples)
        return frequency, time


def attend(
    branches: tuple[Tokens, Tokens], activations: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Apply the transformer to the activations of both branches, ``[n, bins or 1, frames or samples, channels]``."""
    one, other = (_tokens(branch, x) for branch, x in zip(branches, activations, strict=True))
    for here, there in zip(branches[0].attention, branches[1].attention, strict=True):
        one, other = _attention(here, one, other), _attention(there, other, one)
    return (
        _no_tokens(branches[0], one, activations[0]),
        _no_tokens(branches[1], other, activations[1]),
    )


def _tokens(branch: Tokens, x: Tensor) -> Tensor:
    """Convert the activations of a branch to tokens ``[n, tokens, channels]``."""
    x = x.flatten(1, 2)
    if branch.to_tokens is not None:
        x = _product(branch.to_tokens, x)
    return _layer_norm(branch.norm, x) + branch.positions


def _no_tokens(branch: Tokens, tokens: Tensor, like: Tensor) -> Tensor:
    if branch.from_tokens is not None:
        tokens = _product(branch.from_tokens, tokens)
    return tokens.view(like.shape)


def _attention(layer: Attention, x: Tensor, other: Tensor) -> Tensor:
    count, length, channels = x.shape
    weight, bias = layer.project.weight, layer.project.bias
    queries = _layer_norm(layer.norm, x)
    if layer.other_norm is None:
        q, k, v = functional.linear(queries, weight, bias).chunk(3, dim=-1)
    else:
        keys = _layer_norm(layer.other_norm, other)
        q = functional.linear(queries, weight[:channels], bias[:channels])
        k, v = functional.linear(keys, weight[channels:], bias[channels:]).chunk(2, dim=-1)
    q, k, v = (_by_head(each, layer.heads) for each in (q, k, v))
    seen = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
    seen = seen.reshape(count, length, channels)
    x = _product(layer.out, seen).add_(x)
    hidden = _product(layer.hidden, _layer_norm(layer.hidden_norm, x))
    # In place, to access less memory on a CPU.
    hidden = torch.ops.aten.gelu_(hidden) if hidden.is_cpu else functional.gelu(hidden)
    return _norm_of_few(layer.out_norm, _product(layer.narrow, hidden).add_(x))


def _by_head(x: Tensor, heads: int) -> Tensor:
    count, length, channels = x.shape
    return x.view(count, length, heads, channels // heads).transpose(1, 2)


def _encode(layer: Encoder, x: Tensor, axis: int) -> Tensor:
    """Shorten the axis of bins (1) or samples (2) to a quarter."""
    short = -x.shape[axis] % STRIDE
    if short:
        x = functional.pad(x, (0, 0, 0, short) if axis == 2 else (0, 0, 0, 0, 0, short))
    stride, padding = [1, 1], [0, 0]
    stride[axis - 1], padding[axis - 1] = STRIDE, KERNEL // 4
    x = functional.gelu(_convolution(layer.down, x, stride=stride, padding=padding))
    for residual in layer.residuals:
        x = _residual(residual, x)
    return functional.glu(_product(layer.rewrite, x), dim=-1)


def _decode(layer: Decoder, x: Tensor, axis: int, length: int) -> Tensor:
    """Lengthen the axis of bins (1) or samples (2) to four times its length, cut to `length`."""
    height = layer.rewrite.weight.shape[2]
    x = functional.glu(_convolution(layer.rewrite, x, padding=[height // 2, 1]), dim=-1)
    for residual in layer.residuals:
        x = _residual(residual, x)
    x = _lengthen(layer.up, x, axis).narrow(axis, KERNEL // 4, length)
    return x if layer.last else functional.gelu(x)


def _residual(layer: Residual, x: Tensor) -> Tensor:
    inner = _convolution(layer.narrow, x, padding=[0, layer.dilation], dilation=[1, layer.dilation])
    inner = functional.gelu(_norm_of_rows(layer.narrow_norm, inner))
    inner = _norm_of_rows(layer.widen_norm, _product(layer.widen, inner))
    return functional.glu(inner, dim=-1).add_(x)


def _lengthen(up: Affine, x: Tensor, axis: int) -> Tensor:
    """Transposed convolution with a kernel of two strides: one product, and a sum shifted by a stride.

    The algorithm that cuDNN chooses depends on the number of segments, and can be many times slower.
    """
    taps = functional.linear(x, up.weight)
    now, later = taps.chunk(2, dim=-1)
    count, bins, frames, width = now.shape
    if axis == 2:
        out = torch.empty(count, bins, frames + 1, width, dtype=x.dtype, device=x.device)
        torch.add(now, up.bias, out=out[:, :, :frames])
        out[:, :, frames] = up.bias
        out[:, :, 1:] += later
        return out.view(count, bins, STRIDE * (frames + 1), -1)
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
    return out.view(count, STRIDE * (bins + 1), frames, -1)


def _norm_of_rows(norm: Norm, x: Tensor) -> Tensor:
    """Normalise over frames and channels, for each segment and bin."""
    rows, length = x.shape[0] * x.shape[1], x.shape[2] * x.shape[3]
    if norm.rows is not None and rows >= MANY_ROWS:
        return functional.layer_norm(x.view(rows, length), (length,), *norm.rows, norm.eps).view(
            x.shape
        )
    return _norm_of_few(norm, x.view(rows, *x.shape[2:])).view(x.shape)


def _norm_of_few(norm: Norm, x: Tensor) -> Tensor:
    """Normalise each of a few long rows ``[rows, length, channels]``, with sums that occupy the whole GPU."""
    mean, variance = _statistics(x.flatten(1))
    gain = torch.rsqrt(variance + norm.eps)[:, None] * norm.gain
    bias = norm.bias - mean[:, None] * gain
    return torch.addcmul(bias[:, None].to(x.dtype), x, gain[:, None].to(x.dtype))


def _statistics(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each row, in float32."""
    if rows.dtype == torch.float32:
        variance, mean = torch.var_mean(rows, 1, correction=0)
        return mean, variance
    # torch.var_mean would round to half precision; these sums are in float32.
    length = rows.shape[1]
    mean = rows.sum(1, dtype=torch.float32) / length
    norm = torch.linalg.vector_norm(rows, 2, 1, dtype=torch.float32)
    return mean, (norm.square() / length - mean.square()).clamp_min(0)


def _layer_norm(norm: Norm, x: Tensor) -> Tensor:
    return functional.layer_norm(x, norm.gain.shape, norm.gain, norm.bias, norm.eps)


def _product(layer: Affine, x: Tensor) -> Tensor:
    return functional.linear(x, layer.weight, layer.bias)


def _convolution(
    layer: Affine,
    x: Tensor,
    *,
    stride: list[int] | int = 1,
    padding: list[int],
    dilation: list[int] | int = 1,
) -> Tensor:
    out = functional.conv2d(
        x.permute(0, 3, 1, 2), layer.weight, layer.bias, stride, padding, dilation
    )
    return out.permute(0, 2, 3, 1).contiguous()
