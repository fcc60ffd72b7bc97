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

from allin1_backend_torch.demix_operations import (
    EPS,
    Operations,
    PlainOperations,
    Spread,
    layer_norm,
    linear,
    product,
)
from allin1_backend_torch.demix_parameters import (
    STRIDE,
    Attention,
    Decoder,
    Encoder,
    Parameters,
    Tokens,
)
from allin1_backend_torch.running import go_on

PLAIN = PlainOperations()


@dataclass(frozen=True, eq=False)
class Network:
    """An HTDemucs.

    Attributes
    ----------
    parameters
        Its parameters on their device.
    operations
        Operations that compute it.
    """

    parameters: Parameters
    operations: Operations = PLAIN

    def __call__(self, segments: Tensor) -> Tensor:
        """Separate float32 ``[n, 2, samples]`` into float32 ``[n, sources, 2, samples]``."""
        own = self.parameters
        count, channels, samples = segments.shape
        missing = own.transform.samples - samples
        segments = functional.pad(segments, (0, missing))
        frequency, spectra = self.operations.channels(own, segments)
        mean = segments.mean((1, 2), keepdim=True)
        deviation = segments.std((1, 2), keepdim=True)
        waves = ((segments - mean) / (EPS + deviation)).transpose(1, 2).to(own.dtype)
        branches = self._separate(frequency, waves[:, None].contiguous())
        out = self.operations.waves(own, branches, spectra, Spread(mean, deviation))
        return out.view(count, own.sources, channels, -1)[..., :samples]

    def _separate(self, frequency: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Run everything except for the last step of both branches, which lengthens them."""
        own, do = self.parameters, self.operations
        skips: list[tuple[Tensor, Tensor]] = []
        for number, (of_bins, of_time) in enumerate(
            zip(own.frequency.encoders, own.time.encoders, strict=True)
        ):
            embedding = None if number else own.bin_embedding
            frequency = _encode(do, of_bins, frequency, 1, embedding)
            time = _encode(do, of_time, time, 2)
            skips.append((frequency, time))
        frequency, time = attend((own.frequency.tokens, own.time.tokens), (frequency, time), do)
        last_of_bins, last_of_time = skips.pop()
        frequency, time = frequency + last_of_bins, time + last_of_time
        lengths = list(zip(own.frequency.lengths, own.time.lengths, strict=True))
        for to_bins, to_time in zip(own.frequency.decoders, own.time.decoders, strict=True):
            frequency, time = _decode(do, to_bins, frequency), _decode(do, to_time, time)
            bins, samples = lengths.pop()
            if skips:
                of_bins_skip, of_time_skip = skips.pop()
                frequency = do.lengthen(to_bins.up, frequency, 1, bins, of_bins_skip)
                time = do.lengthen(to_time.up, time, 2, samples, of_time_skip)
        return frequency, time


def attend(
    branches: tuple[Tokens, Tokens], activations: tuple[Tensor, Tensor], do: Operations = PLAIN
) -> tuple[Tensor, Tensor]:
    """Apply the transformer to the activations of both branches, ``[n, bins or 1, frames or samples, channels]``."""
    one, other = (_tokens(branch, x) for branch, x in zip(branches, activations, strict=True))
    for here, there in zip(branches[0].attention, branches[1].attention, strict=True):
        go_on()
        one, other = _attention(do, here, one, other), _attention(do, there, other, one)
    return (
        _no_tokens(branches[0], one, activations[0]),
        _no_tokens(branches[1], other, activations[1]),
    )


def _tokens(branch: Tokens, x: Tensor) -> Tensor:
    """Convert the activations of a branch to tokens ``[n, tokens, channels]``."""
    x = x.flatten(1, 2)
    if branch.to_tokens is not None:
        x = product(branch.to_tokens, x)
    return layer_norm(branch.norm, x) + branch.positions


def _no_tokens(branch: Tokens, tokens: Tensor, like: Tensor) -> Tensor:
    if branch.from_tokens is not None:
        tokens = product(branch.from_tokens, tokens)
    return tokens.view(like.shape)


def _attention(do: Operations, layer: Attention, x: Tensor, other: Tensor) -> Tensor:
    channels = x.shape[-1]
    weight, bias = layer.project.weight, layer.project.bias
    queries = layer_norm(layer.norm, x)
    if layer.other_norm is None:
        q, k, v = linear(queries, weight, bias).chunk(3, dim=-1)
    else:
        keys = layer_norm(layer.other_norm, other)
        q = linear(queries, weight[:channels], bias[:channels])
        k, v = linear(keys, weight[channels:], bias[channels:]).chunk(2, dim=-1)
    seen = do.attention(q, k, v, layer.heads)
    x, hidden = do.sum_and_norm(layer.hidden_norm, x, product(layer.out, seen))
    hidden = product(layer.hidden, hidden)
    # In place, to access less memory on a CPU.
    hidden = torch.ops.aten.gelu_(hidden) if hidden.is_cpu else functional.gelu(hidden)
    return do.norm_of_sum(layer.out_norm, x, product(layer.narrow, hidden))


def _encode(
    do: Operations, layer: Encoder, x: Tensor, axis: int, embedding: Tensor | None = None
) -> Tensor:
    """Shorten the axis of bins (1) or samples (2) to a quarter; add an embedding of the bins."""
    short = -x.shape[axis] % STRIDE
    if short:
        x = functional.pad(x, (0, 0, 0, short) if axis == 2 else (0, 0, 0, 0, 0, short))
    x = do.shorten(layer.down, x, axis)
    for residual in layer.residuals:
        x = do.residual(residual, x)
    return do.gated_product(layer.rewrite, x, embedding)


def _decode(do: Operations, layer: Decoder, x: Tensor) -> Tensor:
    """Run a decoder except for its last step, which lengthens the branch."""
    x = do.gated_convolution(layer.rewrite, x)
    for residual in layer.residuals:
        x = do.residual(residual, x)
    return x
