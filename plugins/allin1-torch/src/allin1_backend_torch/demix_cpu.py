"""HTDemucs on a CPU: Demucs' own module, with encoders and decoders that go through memory less often.

- Transposed convolutions, which PyTorch runs as a product and a slow sum, become convolutions of two taps whose
  results are interleaved.
- The residual branches run compiled and in place where allin1-cython is installed; else as they are, which takes a
  fifth of the whole time for a twenty-fifth of the arithmetic.

The transformer is left alone: its products run as fast as the processor can. So is the allocator: memory that is kept
instead of being given back after each operation would save another seventh (the README says how to ask for that), but
that can only be set for the whole process, and not undone.
"""

from __future__ import annotations

import copy
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from allin1_backend_torch.demix_parameters import STRIDE

#: Level of the interface of ``allin1_backend_cython.dconv`` that this is written for.
KERNEL_ABI = 1


def faster(model: Any, kernel: Any | None) -> Any:
    """Copy a module that :func:`~allin1_backend_torch.demix_parameters.is_supported` knows, to run on a CPU.

    Parameters
    ----------
    model
        Demucs' module, which stays as it is and shares its parameters with the copy.
    kernel
        What :func:`load_kernel` gave.
    """
    made = copy.copy(model)
    made._modules = dict(model._modules)
    for kind, names in ((_Encoder, ("encoder", "tencoder")), (_Decoder, ("decoder", "tdecoder"))):
        for name in names:
            layers = [kind(layer, kernel) for layer in getattr(model, name)]
            made._modules[name] = nn.ModuleList(layers)
    return made


def load_kernel() -> Any | None:
    """Import the compiled residual branch; None where it is not installed, or has another interface."""
    try:
        kernel = import_module("allin1_backend_cython.dconv")
    except ImportError:
        return None
    return kernel if kernel.ABI == KERNEL_ABI else None


class _Encoder(nn.Module):
    """What ``demucs.hdemucs.HEncLayer`` computes."""

    empty = False

    def __init__(self, layer: Any, kernel: Any | None) -> None:
        super().__init__()
        self.conv, self.rewrite = layer.conv, layer.rewrite
        self.residual = _Residual(layer, kernel)
        self.stride = None if layer.freq else layer.stride
        self.eval()

    def forward(self, x: Tensor, inject: None = None) -> Tensor:
        """Encode; `inject` is for models in which the branches meet, which these are not."""
        if self.stride and x.shape[-1] % self.stride:
            x = functional.pad(x, (0, self.stride - x.shape[-1] % self.stride))
        y = self.residual(torch.ops.aten.gelu_(self.conv(x)))
        return functional.glu(self.rewrite(y), 1)


class _Decoder(nn.Module):
    """What ``demucs.hdemucs.HDecLayer`` computes."""

    empty = False

    def __init__(self, layer: Any, kernel: Any | None) -> None:
        super().__init__()
        self.rewrite, self.last, self.freq = layer.rewrite, layer.last, layer.freq
        self.residual = _Residual(layer, kernel)
        self.taps = _two_taps(layer.conv_tr)
        self.eval()

    def forward(self, x: Tensor, skip: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Decode; give the result, and what the transposed convolution was made of."""
        y = self.residual(functional.glu(self.rewrite(x + skip), 1))
        weight, bias = self.taps
        if self.freq:
            z = functional.conv2d(y, weight[..., None], bias, padding=(1, 0))
        else:
            z = functional.conv1d(y, weight, bias, padding=1)
        if not self.last:
            z = torch.ops.aten.gelu_(z)
        z = _interleaved(z)
        return (z if self.freq else z[..., :length]), y


class _Residual(nn.Module):
    """The residual branch of a layer, ``demucs.demucs.DConv``, over time."""

    plain: Any

    def __init__(self, layer: Any, kernel: Any | None) -> None:
        super().__init__()
        self.plain = layer.dconv
        self.compiled = kernel and self.plain and _compiled(kernel, self.plain)

    def forward(self, y: Tensor) -> Tensor:
        """Add to `y` ``[n, channels, (bins,) samples]``, which may be overwritten."""
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
    """Lay out the parameters of a residual branch for the compiled one."""
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


@torch.no_grad()
def _two_taps(transposed: Any) -> tuple[Tensor, Tensor]:
    """Turn a transposed convolution of kernel 2 STRIDE into one of two taps: ``[STRIDE out, in, 2]``.

    What it gives at STRIDE i + r is, of `in` at i, tap r of the kernel, and of `in` at i - 1, tap r + STRIDE. The rows
    are in the order r, out.
    """
    weight = transposed.weight.flatten(2)  # in, out, tap
    taps = torch.stack([weight[..., STRIDE:], weight[..., :STRIDE]], -1)
    return taps.permute(2, 1, 0, 3).flatten(0, 1).contiguous(), transposed.bias.repeat(STRIDE)


def _interleaved(z: Tensor) -> Tensor:
    """Bring ``[n, STRIDE out, length + 1, …]`` to ``[n, out, STRIDE length, …]``, half a stride cut off at each end."""
    count, rows, length, *rest = z.shape
    z = z.view(count, STRIDE, rows // STRIDE, length, -1).permute(0, 2, 3, 1, 4)
    half = STRIDE // 2
    out = z.new_empty(count, rows // STRIDE, length - 1, STRIDE, z.shape[-1])
    out[:, :, :, :half] = z[:, :, :-1, half:]
    out[:, :, :, half:] = z[:, :, 1:, :half]
    return out.view(count, rows // STRIDE, -1, *rest)
