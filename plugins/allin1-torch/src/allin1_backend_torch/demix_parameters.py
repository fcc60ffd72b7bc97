"""The parameters of an HTDemucs, in the layout of :mod:`allin1_backend_torch.demix_network`.

Channels are last in activations, so that convolutions of one frame and bin are plain products. LayerScale is folded, in
float32, into the weights that it scales.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from demucs.demucs import DConv
from demucs.hdemucs import HDecLayer, HEncLayer
from demucs.htdemucs import HTDemucs
from demucs.transformer import create_2d_sin_embedding, create_sin_embedding
from torch import Tensor, nn

from allin1_backend_torch.demix_transform import Transform

#: Stride of the convolutions that shorten frequency or time, and their kernel, which is two strides long.
STRIDE, KERNEL = 4, 8


@dataclass(frozen=True, eq=False)
class Affine:
    """A product or a convolution, with a bias.

    Attributes
    ----------
    weight
        ``[out, in]``, or ``[out, in, frequency, time]`` with channels last in memory.
    bias
        ``[out]``.
    """

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True, eq=False)
class Norm:
    """A normalisation, over channels alone or over time and channels.

    Attributes
    ----------
    gain, bias
        ``[channels]``; in float32 if sums over time are split.
    eps
        Added to the variance.
    rows
        Gain and bias repeated for each frame, flat, if a row is short enough to be normalised at once.
    """

    gain: Tensor
    bias: Tensor
    eps: float
    rows: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True, eq=False)
class Residual:
    """A residual layer over time: dilated convolution, norm, GELU, product, norm, gate."""

    narrow: Affine
    dilation: int
    narrow_norm: Norm
    widen: Affine
    widen_norm: Norm


@dataclass(frozen=True, eq=False)
class Encoder:
    """Strided convolution, residual layers, gated product."""

    down: Affine
    residuals: tuple[Residual, ...]
    rewrite: Affine


@dataclass(frozen=True, eq=False)
class Decoder:
    """Gated convolution, residual layers, transposed convolution.

    ``up`` is a product whose outputs are the 8 taps of the kernel in turn; its bias is for four of them.
    """

    rewrite: Affine
    residuals: tuple[Residual, ...]
    up: Affine


@dataclass(frozen=True, eq=False)
class Attention:
    """A layer of the transformer in one branch.

    ``other_norm`` is that of the other branch if the layer attends to it, None for self-attention.
    """

    norm: Norm
    other_norm: Norm | None
    project: Affine
    out: Affine
    heads: int
    hidden_norm: Norm
    hidden: Affine
    narrow: Affine
    out_norm: Norm


@dataclass(frozen=True, eq=False)
class Tokens:
    """The parameters of the transformer for one of the two branches, frequency or time.

    Attributes
    ----------
    to_tokens, from_tokens
        Products before and after the transformer, if its number of channels differs.
    norm
        Norm of the tokens.
    positions
        Added to the tokens: ``[1, tokens, channels]``; those of the frequency branch run through time first.
    attention
        Layers of the transformer.
    """

    to_tokens: Affine | None
    from_tokens: Affine | None
    norm: Norm
    positions: Tensor
    attention: tuple[Attention, ...]


@dataclass(frozen=True, eq=False)
class Branch:
    """The parameters of one of the two branches, frequency or time.

    Attributes
    ----------
    lengths
        Number of bins or samples of each encoder's input.
    encoders, decoders
        Layers in the order in which they run.
    tokens
        Parameters of the transformer between them.
    """

    lengths: tuple[int, ...]
    encoders: tuple[Encoder, ...]
    decoders: tuple[Decoder, ...]
    tokens: Tokens


@dataclass(frozen=True, eq=False)
class Parameters:
    """All parameters of the network.

    Attributes
    ----------
    frequency, time
        The branches.
    bin_embedding
        Added after the first encoder of the frequency branch: ``[1, bins, 1, channels]``.
    transform
        The Fourier transform of a segment.
    sources
        Number of sources.
    dtype
        Type of the activations.
    """

    frequency: Branch
    time: Branch
    bin_embedding: Tensor
    transform: Transform
    sources: int
    dtype: torch.dtype


def is_supported(model: Any) -> bool:
    """Whether a module of Demucs is an HTDemucs as published, of any size."""
    if not isinstance(model, HTDemucs) or not model.crosstransformer or model.freq_emb is None:
        return False
    transformer = model.crosstransformer
    attention = [*transformer.layers, *transformer.layers_t]
    return (
        model.cac
        and model.use_train_segment
        and model.audio_channels == 2
        and len(model.tencoder) == len(model.encoder) == len(model.decoder) == len(model.tdecoder)
        and all(_is_usual(layer, HEncLayer, 1) for layer in [*model.encoder, *model.tencoder])
        and all(_is_usual(layer, HDecLayer, 3) for layer in [*model.decoder, *model.tdecoder])
        and transformer.emb == "sin"
        and transformer.sin_random_shift == 0
        and type(transformer.norm_in) is nn.LayerNorm
        and all(
            layer.norm_first
            and not layer.sparse
            and type(layer.norm1) is nn.LayerNorm
            and layer.norm_out is not None
            and layer.norm_out.num_groups == 1
            and hasattr(layer.gamma_1, "scale")
            and layer.activation is nn.functional.gelu
            for layer in attention
        )
    )


def _is_usual(layer: Any, kind: type[Any], rewrite: int) -> bool:
    return (
        type(layer) is kind
        and (layer.kernel_size, layer.stride, layer.pad) == (KERNEL, STRIDE, KERNEL // 4)
        and not layer.norm
        and not layer.empty
        and layer.rewrite is not None
        and set(layer.rewrite.kernel_size) == {rewrite}
        and (layer.dconv is None or all(len(each) == 7 for each in layer.dconv.layers))
        and (layer.dconv is None or type(layer.dconv.layers[0][2]) is nn.GELU)
    )


@torch.no_grad()
def lay_out(model: Any, dtype: torch.dtype, device: torch.device) -> Parameters:
    """Move the parameters of a supported module to a device, and convert them to `dtype`."""
    return _Layout(dtype, device).parameters(model)


@torch.no_grad()
def lay_out_tokens(model: Any) -> tuple[Tokens, Tokens]:
    """Return the parameters of a supported module's transformer for the frequency and the time branch.

    They are on the CPU in float32; parameters that nothing is folded into are shared with the module.
    """
    layout = _Layout(torch.float32, torch.device("cpu"), shares=True)
    return layout.tokens(model, ""), layout.tokens(model, "t")


def bin_embedding(model: Any, bins: int) -> Tensor:
    """Return the embedding of bins, added after the first encoder of the frequency branch: ``[bins, channels]``."""
    weight: Tensor = model.freq_emb.weight[:bins] * model.freq_emb_scale
    return weight


def transform_of(model: Any, device: torch.device) -> Transform:
    """The Fourier transform of a segment of a supported module."""
    return Transform(int(model.segment * model.samplerate), model.hop_length, device)


@dataclass(frozen=True)
class _Layout:
    dtype: torch.dtype
    device: torch.device
    shares: bool = False

    def parameters(self, model: Any) -> Parameters:
        transform = transform_of(model, self.device)
        bins, lengths = self._lengths(model)
        return Parameters(
            frequency=self._branch(model, "", bins[:-1], transform.frames),
            time=self._branch(model, "t", lengths[:-1], None),
            bin_embedding=self._put(bin_embedding(model, bins[1])[None, :, None]),
            transform=transform,
            sources=len(model.sources),
            dtype=self.dtype,
        )

    def _lengths(self, model: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Number of bins and of samples of each encoder's input, and of the last one's output."""
        transform, depth = transform_of(model, self.device), len(model.encoder)
        bins = tuple(transform.bins // STRIDE**i for i in range(depth + 1))
        lengths = [transform.samples]
        for _ in range(depth):
            lengths.append(-(-lengths[-1] // STRIDE))
        return bins, tuple(lengths)

    def _branch(self, model: Any, prefix: str, lengths: tuple[int, ...], row: int | None) -> Branch:
        return Branch(
            lengths=lengths,
            encoders=tuple(self._encoder(e, row) for e in getattr(model, f"{prefix}encoder")),
            decoders=tuple(self._decoder(d, row) for d in getattr(model, f"{prefix}decoder")),
            tokens=self.tokens(model, prefix),
        )

    def tokens(self, model: Any, prefix: str) -> Tokens:
        transformer, suffix = model.crosstransformer, f"_{prefix}" if prefix else ""
        layers = getattr(transformer, f"layers{suffix}")
        channels, period = transformer.norm_in.weight.shape[0], transformer.max_period
        bins, lengths = self._lengths(model)
        if prefix:
            over_time = create_sin_embedding(lengths[-1], channels, 0, self.device, period)
            positions = over_time.permute(1, 0, 2)
        else:
            frames = transform_of(model, self.device).frames
            over_bins = create_2d_sin_embedding(channels, bins[-1], frames, self.device, period)
            positions = over_bins.permute(0, 2, 3, 1)
        around: list[Affine | None] = [None, None]
        if model.bottom_channels:
            around = [
                self._product(getattr(model, f"channel_{way}sampler{suffix}"))
                for way in ("up", "down")
            ]
        return Tokens(
            to_tokens=around[0],
            from_tokens=around[1],
            norm=self._norm(getattr(transformer, f"norm_in{suffix}")),
            positions=self._put((transformer.weight_pos_embed * positions).flatten(1, -2)),
            attention=tuple(self._attention(layer) for layer in layers),
        )

    def _encoder(self, layer: Any, row: int | None) -> Encoder:
        return Encoder(
            self._convolution(layer.conv),
            self._residuals(layer.dconv, row),
            self._product(layer.rewrite),
        )

    def _decoder(self, layer: Any, row: int | None) -> Decoder:
        conv = layer.conv_tr
        taps = conv.weight.reshape(*conv.weight.shape[:2], KERNEL)
        up = Affine(
            self._put(taps.permute(2, 1, 0).flatten(0, 1)), self._put(conv.bias.repeat(STRIDE))
        )
        residuals = self._residuals(layer.dconv, row)
        return Decoder(self._convolution(layer.rewrite), residuals, up)

    def _residuals(self, dconv: DConv | None, row: int | None) -> tuple[Residual, ...]:
        result = []
        for narrow, narrow_norm, _, widen, widen_norm, _, scale in dconv.layers if dconv else ():
            # Only the linear half of the gate is scaled.
            scales = torch.cat([scale.scale, torch.ones_like(scale.scale)])
            result.append(
                Residual(
                    self._convolution(narrow),
                    narrow.dilation[0],
                    self._group_norm(narrow_norm, row),
                    self._product(widen),
                    self._group_norm(widen_norm, row, scales),
                )
            )
        return tuple(result)

    def _attention(self, layer: Any) -> Attention:
        crosses = hasattr(layer, "cross_attn")
        heads = layer.cross_attn if crosses else layer.self_attn
        first, second = layer.gamma_1.scale, layer.gamma_2.scale
        return Attention(
            norm=self._norm(layer.norm1),
            other_norm=self._norm(layer.norm2) if crosses else None,
            project=Affine(self._put(heads.in_proj_weight), self._put(heads.in_proj_bias)),
            out=self._product(heads.out_proj, first),
            heads=heads.num_heads,
            hidden_norm=self._norm(layer.norm3 if crosses else layer.norm2),
            hidden=self._product(layer.linear1),
            narrow=self._product(layer.linear2, second),
            out_norm=self._group_norm(layer.norm_out, None),
        )

    def _product(self, layer: Any, scale: Tensor | None = None) -> Affine:
        weight, bias = layer.weight.flatten(1), layer.bias
        if scale is not None:
            weight, bias = scale[:, None] * weight, scale * bias
        return Affine(self._put(weight), self._put(bias))

    def _convolution(self, layer: Any) -> Affine:
        weight = layer.weight if layer.weight.dim() == 4 else layer.weight[:, :, None]
        placed = self._put(weight).contiguous(memory_format=torch.channels_last)
        return Affine(placed, self._put(layer.bias))

    def _norm(self, norm: Any) -> Norm:
        return Norm(self._put(norm.weight), self._put(norm.bias), norm.eps)

    def _group_norm(self, norm: Any, row: int | None, scale: Tensor | None = None) -> Norm:
        gain, bias = norm.weight, norm.bias
        if scale is not None:
            gain, bias = gain * scale, bias * scale
        rows = None if row is None else (self._put(gain.repeat(row)), self._put(bias.repeat(row)))
        return Norm(self._put(gain, torch.float32), self._put(bias, torch.float32), norm.eps, rows)

    def _put(self, values: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        if self.shares:
            return values.detach().to(self.device, dtype or self.dtype).contiguous()
        # Always a copy, so that the module is not modified.
        return values.detach().to(self.device, dtype or self.dtype, copy=True).contiguous()
