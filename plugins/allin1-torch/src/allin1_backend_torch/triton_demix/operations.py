"""The parts of the network by these kernels, around PyTorch's products and convolutions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from allin1_backend_torch.demix_operations import (
    EPS,
    PlainOperations,
    Spread,
    product,
    same_size,
    shortening,
)
from allin1_backend_torch.demix_parameters import (
    Affine,
    Branch,
    Decoder,
    Encoder,
    Norm,
    Parameters,
    Residual,
)
from allin1_backend_torch.triton_compiling import current
from allin1_backend_torch.triton_demix import (
    activations,
    ends,
    lengthening,
    norms,
    residuals,
)
from allin1_backend_torch.triton_launching import Launch


def run(launches: Iterable[Launch], device: torch.device) -> None:
    """Start launches on the current stream of a device."""
    with current(device):
        for launch in launches:
            launch.run()


@dataclass(frozen=True, eq=False)
class FusedOperations:
    """See :class:`~allin1_backend_torch.demix_operations.Operations`; :func:`fuse` makes them for a network.

    Attributes
    ----------
    packed
        Parameters of the residual layers that the kernels can do; the others run by PyTorch's operations.
    start
        Starts launches.
    precision
        Of float32 products in kernels: ``ieee`` or ``tf32``.
    """

    packed: dict[Residual, residuals.Packed]
    start: Callable[[Iterable[Launch]], None]
    precision: str = "ieee"

    def channels(self, own: Parameters, segments: Tensor) -> tuple[Tensor, Spread]:
        """See ``Operations``."""
        spectra = torch.view_as_real(own.transform.every_bin(segments))
        count, channels, frames, bins, parts = spectra.shape
        inside = spectra[:, :, :, :-1]
        variance, mean = torch.var_mean(inside, (1, 2, 3, 4))
        deviation = variance.sqrt()
        out = torch.empty(
            count, bins - 1, frames, channels * parts, dtype=own.dtype, device=segments.device
        )
        self.start([ends.launch_channels(spectra, mean, 1 / (EPS + deviation), out)])
        return out, Spread(mean, deviation)

    def shorten(self, down: Affine, x: Tensor, axis: int) -> Tensor:
        """See ``Operations``."""
        out = shortening(down, x, axis, None)
        self.start([activations.launch_gelu(out, down.bias)])
        return out

    def residual(self, layer: Residual, x: Tensor) -> Tensor:
        """See ``Operations``."""
        packed = self.packed.get(layer)
        if packed is None:
            return PlainOperations().residual(layer, x)
        out = torch.empty_like(x)
        self.start(residuals.launches(layer, packed, x, out, self.precision))
        return out

    def gated_product(self, layer: Affine, x: Tensor, added: Tensor | None = None) -> Tensor:
        """See ``Operations``."""
        return self._gated(product(layer, x), None, added)

    def gated_convolution(self, layer: Affine, x: Tensor) -> Tensor:
        """See ``Operations``."""
        return self._gated(same_size(layer, x, None), layer.bias, None)

    def _gated(self, x: Tensor, bias: Tensor | None, added: Tensor | None) -> Tensor:
        *shape, channels = x.shape
        out = torch.empty(*shape, channels // 2, dtype=x.dtype, device=x.device)
        self.start([activations.launch_gate(x, bias, added, out)])
        return out

    def lengthen(self, up: Affine, x: Tensor, axis: int, length: int, skip: Tensor) -> Tensor:
        """See ``Operations``; in place of `skip`."""
        taps = functional.linear(x, up.weight)
        self.start([lengthening.launch(taps, up.bias, skip, axis)])
        return skip

    def waves(
        self, own: Parameters, branches: tuple[Tensor, Tensor], spectra: Spread, waves: Spread
    ) -> Tensor:
        """See ``Operations``."""
        of_bins, of_time = own.frequency.decoders[-1].up, own.time.decoders[-1].up
        taps = functional.linear(branches[0], of_bins.weight)
        count, _, frames, width = taps.shape
        pairs = width // 16
        bins = own.transform.bins + 1
        laid = torch.empty(count, pairs, frames, bins, 2, dtype=torch.float32, device=taps.device)
        level = spectra.mean.flatten(), spectra.deviation.flatten()
        self.start([ends.launch_spectra(taps, of_bins.bias, *level, laid)])
        del taps
        pieces = own.transform.pieces(torch.view_as_complex(laid))
        del laid
        taps = functional.linear(branches[1], of_time.weight)
        out = torch.empty(
            count, pairs, own.transform.samples, dtype=torch.float32, device=taps.device
        )
        level = waves.mean.flatten(), waves.deviation.flatten()
        window, margin = own.transform.pieces_window, own.transform.margin
        self.start([ends.launch_waves(pieces, window, taps, of_time.bias, *level, out, margin)])
        return out

    def attention(self, q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
        """See ``Operations``."""
        return PlainOperations().attention(q, k, v, heads)

    def sum_and_norm(self, norm: Norm, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Operations``; the sum in place of `y`."""
        out = torch.empty_like(y)
        self.start([norms.launch_sum_and_norm(norm, x, y, out)])
        return y, out

    def norm_of_sum(self, norm: Norm, x: Tensor, y: Tensor) -> Tensor:
        """See ``Operations``; in place of `y`."""
        self.start(norms.norm_of_sum_launches(norm, x, y))
        return y


def fuse(own: Parameters, precision: str = "ieee") -> FusedOperations:
    """Make these operations for a network's parameters."""
    layers = [layer for branch in (own.frequency, own.time) for layer in _residuals(branch)]
    # Exact products of float32 have no matrix instructions, and what Triton makes of them lacks registers.
    is_exact = own.dtype == torch.float32 and precision == "ieee"
    small = [layer for layer in layers if residuals.is_small(layer) and not is_exact]
    packed = {layer: residuals.pack(layer) for layer in small}
    return FusedOperations(packed, partial(run, device=own.bin_embedding.device), precision)


def _residuals(branch: Branch) -> list[Residual]:
    layers: list[Encoder | Decoder] = [*branch.encoders, *branch.decoders]
    return [each for layer in layers for each in layer.residuals]
