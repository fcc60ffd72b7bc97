"""HTDemucs on a CPU: equivalent to the module of Demucs, with fewer memory accesses.

- Products and convolutions that are followed by a gate are computed in parts of their rows, so that the input of the gate
  stays in the cache of the processor; transposed convolutions, which PyTorch runs as a product and a slow sum, become
  products of two taps each whose results are interleaved.
- Convolutions with a kernel of 3 x 3 take half the multiplications (:mod:`~allin1_backend_torch.demix_winograd`).
- The residual branches run compiled and in place if allin1-cython is installed; otherwise unchanged, which takes a fifth
  of the total time for a twenty-fifth of the arithmetic. So does attention, if the processor has AVX2 or AVX-512.
- In the transformer, whose products (by oneDNN) are about as fast as the processor allows, LayerScale is folded into the
  weights that it scales, and sums are computed in place.
- The spectrum is reordered for the inverse transform when it is interleaved, channel by channel, and scaled after that.
- Each of several segments is separated by a thread of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from allin1_backend_torch.demix_network import attend
from allin1_backend_torch.demix_operations import EPS, PlainOperations
from allin1_backend_torch.demix_parameters import (
    STRIDE,
    Tokens,
    bin_embedding,
    lay_out_tokens,
    transform_of,
)
from allin1_backend_torch.demix_winograd import PRODUCTS, ROWS, convolve, transform_kernel
from allin1_backend_torch.running import go_on, side_by_side

#: Versions of the interfaces of ``allin1_backend_cython.dconv`` and ``.attention`` that this module uses.
BRANCH_ABI, ATTENTION_ABI = 1, 1

#: Number of values that a product, and a convolution, computes at a time: those of the first stay in the cache of a core,
#: and those of the second, whose calls are more expensive, in memory that the allocator reuses.
PRODUCT_VALUES, CONVOLUTION_VALUES = 400_000, 4_000_000


@dataclass(frozen=True)
class Kernels:
    """Modules of allin1-cython; where one is None, PyTorch's operations take its place.

    Attributes
    ----------
    branch
        ``allin1_backend_cython.dconv``, the residual branch.
    attention
        ``allin1_backend_cython.attention``, if it has a kernel for this processor.
    """

    branch: Any | None = None
    attention: Any | None = None


class Faster:
    """A faster version of a module that :func:`~allin1_backend_torch.demix_parameters.is_supported` accepts, for a CPU.

    Parameters
    ----------
    model
        Demucs' module, which is not modified and shares most of its parameters.
    kernels
        The return value of :func:`load_kernels`.
    """

    @torch.no_grad()
    def __init__(self, model: Any, kernels: Kernels) -> None:
        kernel = kernels.branch
        self._sources = len(model.sources)
        self._transform = transform_of(model, torch.device("cpu"))
        self._encoders = [
            (_Encoder(one, kernel), _Encoder(other, kernel))
            for one, other in zip(model.encoder, model.tencoder, strict=True)
        ]
        self._decoders = [
            (_Decoder(one, kernel), _Decoder(other, kernel))
            for one, other in zip(model.decoder, model.tdecoder, strict=True)
        ]
        self._tokens = lay_out_tokens(model)
        self._operations = _operations(self._tokens, kernels.attention)
        bins = self._transform.bins // STRIDE
        self._bin_embedding = bin_embedding(model, bins).t()[:, :, None].contiguous()
        level = torch.full((1, 1, self._transform.frames, self._transform.bins + 1), 1 + 1j)
        level[..., -1] = 0
        # The waveform of a constant spectrum, to add the mean of the spectrum after the inverse transform.
        self._level = self._transform.inverse(level)[0, 0]

    def __call__(self, segments: Tensor) -> Tensor:
        """Separate float32 ``[n, 2, samples]`` into float32 ``[n, sources, 2, samples]``.

        Segments are separated side by side, as many at once as PyTorch has threads: they wait for each other once,
        while the threads of an operation do so thousands of times.
        """
        count, _, samples = segments.shape
        out = segments.new_empty(count, self._sources, 2, samples)

        def separate(number: int) -> None:
            out[number : number + 1] = self._one(segments[number : number + 1])

        with side_by_side(count) as each:
            each(separate, range(count))
        return out

    def _one(self, segments: Tensor) -> Tensor:
        samples = segments.shape[-1]
        segments = functional.pad(segments, (0, self._transform.samples - samples))
        bins, mean_of_bins, deviation_of_bins = _normalised(self._spectrum(segments))
        time, mean_of_time, deviation_of_time = _normalised(segments)
        bins, time = self._separate(bins, time)
        count = len(segments)
        shape = (count, self._sources, 2, -1)
        out = self._waves(bins).view(shape).mul_(deviation_of_bins[..., None])
        out += time.view(shape).mul_(deviation_of_time[..., None])
        offsets = mean_of_bins.flatten()[:, None] * self._level + mean_of_time.flatten()[:, None]
        out += offsets[:, None, None]
        return out[..., :samples]

    def _spectrum(self, segments: Tensor) -> Tensor:
        """Transform to float32 ``[n, channels and parts, bins, frames]``."""
        spectra = torch.view_as_real(self._transform.forward(segments))
        return spectra.permute(0, 1, 4, 3, 2).flatten(1, 2).contiguous()

    def _waves(self, bins: Tensor) -> Tensor:
        """Transform ``[n, sources, channels and parts, bins, frames]`` back, one channel at a time."""
        count, rows, number, frames = bins.shape
        out = bins.new_empty(count, rows // 2, self._transform.samples)
        spectra = torch.zeros(frames, number + 1, 2)
        for segment, waves in zip(bins.view(count, rows // 2, 2, number, frames), out, strict=True):
            for channel, wave in zip(segment, waves, strict=True):
                spectra[:, :number] = channel.transpose(0, 2)
                wave[:] = self._transform.inverse(torch.view_as_complex(spectra))
        return out

    def _separate(self, bins: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        skips, lengths = [], []
        for number, (of_bins, of_time) in enumerate(self._encoders):
            go_on()
            lengths.append((bins.shape[2], time.shape[2]))
            bins, time = of_bins.forward(bins), of_time.forward(time)
            if number == 0:
                bins += self._bin_embedding
            skips.append((bins, time))
        pair = bins.permute(0, 2, 3, 1), time.transpose(1, 2)[:, None]
        seen_bins, seen_time = attend(self._tokens, pair, self._operations)
        bins = seen_bins.permute(0, 3, 1, 2).contiguous()
        time = seen_time[:, 0].transpose(1, 2).contiguous()
        for to_bins, to_time in self._decoders:
            go_on()
            skip_of_bins, skip_of_time = skips.pop()
            number_of_bins, samples = lengths.pop()
            bins = to_bins.forward(bins.add_(skip_of_bins), number_of_bins)
            time = to_time.forward(time.add_(skip_of_time), samples)
        return bins, time


def load_kernels() -> Kernels:
    """Import the compiled modules, without those that are not installed, have another interface, or do not run here."""
    attention = _load("attention", ATTENTION_ABI)
    if attention is not None and not attention.is_available():
        attention = None
    return Kernels(_load("dconv", BRANCH_ABI), attention)


def _load(name: str, version: int) -> Any | None:
    try:
        module = import_module(f"allin1_backend_cython.{name}")
    except ImportError:
        return None
    return module if version == module.ABI else None


class _CompiledAttention(PlainOperations):
    """PyTorch's operations, but compiled attention."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel

    def attention(self, q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
        """See :class:`~allin1_backend_torch.demix_operations.Operations`."""
        out = q.new_empty(q.shape)
        arrays = (x.numpy() for x in (q, k, v, out))
        self._kernel.attend(*arrays, heads=heads, threads=torch.get_num_threads())
        return out


def _operations(tokens: tuple[Tokens, Tokens], kernel: Any | None) -> PlainOperations:
    """The operations of the transformer: with the kernel if it can compute heads of that width."""
    widths = {
        layer.out.weight.shape[0] // layer.heads for each in tokens for layer in each.attention
    }
    if kernel is None or any(width % kernel.STEP for width in widths):
        return PlainOperations()
    return _CompiledAttention(kernel)


class _Encoder:
    """Equivalent to ``demucs.hdemucs.HEncLayer``."""

    def __init__(self, layer: Any, kernel: Any | None) -> None:
        self._convolution = layer.conv
        self._residual = _Residual(layer, kernel)
        self._weight, self._bias = layer.rewrite.weight.flatten(1), layer.rewrite.bias[:, None]
        self._stride = None if layer.freq else layer.stride

    def forward(self, x: Tensor) -> Tensor:
        """Encode ``[n, channels, (bins,) frames]``."""
        if self._stride and x.shape[-1] % self._stride:
            x = functional.pad(x, (0, self._stride - x.shape[-1] % self._stride))
        y = self._residual(torch.ops.aten.gelu_(self._convolution(x))).contiguous()
        for each in y:
            self._gated_product(each.flatten(1))
        return y

    def _gated_product(self, x: Tensor) -> None:
        """Replace `x` ``[channels, n]`` by its gated product."""
        rows, length = len(self._weight), x.shape[1]
        room = x.new_empty(rows, min(length, max(1, PRODUCT_VALUES // rows)))
        for first, last in _parts(length, room.shape[1]):
            part, product = x[:, first:last], room[:, : last - first]
            torch.addmm(self._bias, self._weight, part, out=product)
            linear, gate = product.chunk(2)
            torch.mul(linear, gate.sigmoid_(), out=part)


class _Decoder:
    """Equivalent to ``demucs.hdemucs.HDecLayer``."""

    def __init__(self, layer: Any, kernel: Any | None) -> None:
        rewrite = layer.rewrite
        self._weight, self._gate_bias, self._last = rewrite.weight, rewrite.bias, layer.last
        self._kernels = transform_kernel(rewrite.weight) if layer.freq else None
        self._residual = _Residual(layer, kernel)
        self._now, self._before, self._bias = _taps(layer.conv_tr)

    def forward(self, x: Tensor, length: int) -> Tensor:
        """Decode ``[n, channels, bins or samples, …]`` to `length` bins or samples."""
        y = self._residual(self._gated_convolution(x)).contiguous()
        count, _, places, *rest = y.shape
        channels = len(self._bias) // STRIDE
        out = y.new_empty(count, channels, places, STRIDE, y[0, 0, 0].numel())
        for each, longer in zip(y, out, strict=True):
            self._lengthen(each, longer)
        return out.view(count, channels, places * STRIDE, *rest)[:, :, :length]

    def _gated_convolution(self, x: Tensor) -> Tensor:
        """Convolve with a kernel of three along all axes, and apply the gate."""
        length, width = x.shape[2], 2 * x[:, :, 0].numel()
        out = torch.empty_like(x)
        if self._kernels is not None:
            size = ROWS * max(1, CONVOLUTION_VALUES // (PRODUCTS * width))
        else:
            size = max(1, CONVOLUTION_VALUES // width)
        for first, last in _parts(length, size):
            # What the kernel reaches to, with zeros at the ends.
            part = x[:, :, max(0, first - 1) : last + 1]
            before, after = int(first == 0), int(last == length)
            if self._kernels is None:
                part = functional.pad(part, (before, after))
                y = functional.conv1d(part, self._weight, self._gate_bias)
            else:
                after += (first - last) % ROWS
                part = functional.pad(part, (0, 0, before, after))
                y = convolve(part, self._kernels, self._gate_bias)[:, :, : last - first]
            linear, gate = y.chunk(2, 1)
            torch.mul(linear, gate.sigmoid_(), out=out[:, :, first:last])
        return out

    def _lengthen(self, y: Tensor, out: Tensor) -> None:
        """Transposed convolution of `y` ``[channels, places, …]`` to `out` ``[channels, places, STRIDE, width]``.

        Half a stride is removed at each end.
        """
        places, width = out.shape[1], out.shape[3]
        y = y.flatten(1)
        rows, half = len(self._bias), STRIDE // 2
        size = min(places + 1, max(1, PRODUCT_VALUES // (rows * width)))
        room = y.new_empty(rows, size * width)
        for first, last in _parts(places + 1, size):
            z = room[:, : (last - first) * width]
            now, before = min(last, places), max(0, first - 1)
            # There is nothing before the first place, nor after the last.
            z.copy_(self._bias.expand_as(z))
            z[:, : (now - first) * width].addmm_(self._now, y[:, first * width : now * width])
            skipped = int(first == 0)
            z[:, skipped * width :].addmm_(self._before, y[:, before * width : (last - 1) * width])
            if not self._last:
                torch.ops.aten.gelu_(z)
            taps = z.view(STRIDE, -1, last - first, width).permute(1, 2, 0, 3)
            out[:, first:now, :half] = taps[:, : now - first, half:]
            out[:, before : last - 1, half:] = taps[:, skipped:, :half]


class _Residual:
    """The residual branch of a layer, ``demucs.demucs.DConv``, over time."""

    def __init__(self, layer: Any, kernel: Any | None) -> None:
        self.plain: Any = layer.dconv
        self.compiled = kernel and self.plain and _compiled(kernel, self.plain)

    def __call__(self, y: Tensor) -> Tensor:
        """Apply the branch to `y` ``[n, channels, (bins,) samples]``, which may be overwritten."""
        if self.plain is None:
            return y
        if self.compiled:
            y = y.contiguous()
            threads = torch.get_num_threads()
            for each in y:
                self.compiled(each.numpy(), threads=threads)
            return y
        if y.dim() == 3:
            rows: Tensor = self.plain(y)
            return rows
        count, channels, bins, samples = y.shape
        rows = self.plain(y.permute(0, 2, 1, 3).reshape(-1, channels, samples))
        return rows.view(count, bins, channels, samples).permute(0, 2, 1, 3)


def _compiled(kernel: Any, dconv: Any) -> Any:
    """Create the compiled residual branch from the parameters of Demucs' one."""
    layers = []
    for narrow, narrow_norm, _, widen, widen_norm, _, scale in dconv.layers:
        arrays = {
            "narrow_weight": narrow.weight,
            "narrow_bias": narrow.bias,
            "narrow_gain": narrow_norm.weight,
            "narrow_shift": narrow_norm.bias,
            "widen_weight": widen.weight[:, :, 0],
            "widen_bias": widen.bias,
            "widen_gain": widen_norm.weight,
            "widen_shift": widen_norm.bias,
            "scale": scale.scale,
        }
        layers.append(
            kernel.Layer(
                **{name: values.detach().numpy() for name, values in arrays.items()},
                dilation=narrow.dilation[0],
                narrow_eps=narrow_norm.eps,
                widen_eps=widen_norm.eps,
            )
        )
    return kernel.DConv(layers)


def _taps(transposed: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Convert a transposed convolution of kernel 2 STRIDE to two products ``[STRIDE out, in]``, and their bias.

    Its output at STRIDE i + r is tap r of the kernel applied to `in` at i, plus tap r + STRIDE applied to `in` at i - 1.
    The rows are in the order r, out.
    """
    weight = transposed.weight.flatten(2).permute(2, 1, 0).contiguous()  # tap, out, in
    now, before = weight[:STRIDE].flatten(0, 1), weight[STRIDE:].flatten(0, 1)
    return now, before, transposed.bias.repeat(STRIDE)[:, None]


def _normalised(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise each segment; also returns the mean and the standard deviation, ``[n, 1, …]``."""
    own = tuple(range(1, x.dim()))
    mean, deviation = x.mean(own, keepdim=True), x.std(own, keepdim=True)
    return (x - mean) / (EPS + deviation), mean.view(-1, 1, 1), deviation.view(-1, 1, 1)


def _parts(length: int, most: int) -> Iterator[tuple[int, int]]:
    """Split `length` into parts of at most `most`: yields start and end of each."""
    return ((first, min(first + most, length)) for first in range(0, length, most))
