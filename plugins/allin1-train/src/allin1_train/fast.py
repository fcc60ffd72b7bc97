"""The same network, fast on a GPU: convolutions as matrix products, attention in Triton.

Operations on single frames get a flat list of them. Products have bfloat16 input and output, the values between layers
are float32. Nothing synchronises with the device, so that a whole step can be captured as a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from allin1_train.kernels import attend
from allin1_train.network import HEADS_OUT

Named = Mapping[str, Tensor]
Shape = tuple[int, int, int]


def front(x: Tensor, w0: Tensor, b0: Tensor, w1: Tensor, b1: Tensor) -> Tensor:
    """First two convolutions with their pooling, [N, 248] (three frames side by side) → [N, 120]."""
    dtype, dev = x.dtype, x.device
    band, place, tap = (torch.arange(n, device=dev) for n in (81, 78, 3))
    s = (band[:, None, None] - place[None, :, None] == tap).to(dtype).flatten(0, 1)
    # w0 [12, 1, 3, 3] → [3 frames, 81 bands, 78 places, 12]
    m = (s @ w0.squeeze(1).permute(2, 1, 0).reshape(3, 36)).view(81, 78, 3, 12).permute(2, 0, 1, 3)
    m = functional.pad(m.reshape(243, 936), (0, 0, 0, 5))
    x = functional.linear(x, m.T, b0.repeat(78))
    x = functional.elu(x.view(-1, 26, 3, 12).amax(2)).flatten(1)
    band, place, tap = (torch.arange(n, device=dev) for n in (26, 15, 12))
    s = (band[:, None, None] - place[None, :, None] == tap).to(dtype).flatten(0, 1)
    # w1 [24, 12, 1, 12] → [26 bands, 12, 15 places, 24]
    m = (s @ w1.squeeze(2).permute(2, 1, 0).reshape(12, 288)).view(26, 15, 12, 24).transpose(1, 2)
    x = functional.linear(x, m.reshape(312, 360).T, b1.repeat(15))
    return functional.elu(x.view(-1, 5, 3, 24).amax(2)).flatten(1)


def embed(x: Tensor, w2: Tensor, b2: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    """Third convolution, pooling and norm, [N, 360] (three frames side by side) → float32 [N, 24]."""
    band, place, tap = (torch.arange(n, device=x.device) for n in (5, 3, 3))
    s = (band[:, None, None] - place[None, :, None] == tap).to(x.dtype).flatten(0, 1)
    # w2 [24, 24, 3 frames, 3] → [3 frames, 5 bands, 24, 3 places, 24]
    m = (s @ w2.permute(3, 2, 1, 0).reshape(3, 1728)).view(5, 3, 3, 24, 24).permute(2, 0, 3, 1, 4)
    x = functional.linear(x, m.reshape(360, 72).T, b2.repeat(3))
    x = functional.elu(x.view(-1, 3, 24).amax(1)).float()
    return functional.layer_norm(x, (24,), gain, shift)


def mlp(
    x: Tensor, gain: Tensor, shift: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor
) -> Tensor:
    """Norm and two dense layers."""
    h = functional.layer_norm(x, (x.shape[-1],), gain, shift).to(w1.dtype)
    return functional.linear(functional.gelu(functional.linear(h, w1, b1)), w2, b2)


def three_frames(x: Tensor, pad: int = 0) -> Tensor:
    """Each frame with its neighbours, [..., T, C] → [N, 3 C + pad]; zeros outside."""
    edge = x.new_zeros(*x.shape[:-2], 1, x.shape[-1])
    parts = [torch.cat([edge, x[..., :-1, :]], -2), x, torch.cat([x[..., 1:, :], edge], -2)]
    if pad:
        parts.append(x.new_zeros(*x.shape[:-1], pad))
    return torch.cat(parts, -1).flatten(0, -2)


class FastNet:
    """Computes `network.Net` from views of its parameters.

    Parameters
    ----------
    depth : int
    block : int
        Number of frames that a program of the attention kernels processes.
    """

    def __init__(self, depth: int = 11, block: int = 128) -> None:
        self.depth, self.block = depth, block

    def __call__(self, low: Named, full: Named, x: Tensor) -> Tensor:
        """Logits [B, 13, T] of views [B, 4, T, 81]; `low` are the parameters for products, `full` those in float32."""
        batch, insts, frames, _ = x.shape
        e = "embeddings."
        x = three_frames(x.to(low[e + "conv0.weight"].dtype), 5)
        x = front(x, *(low[f"{e}conv{i}.{kind}"] for i in (0, 1) for kind in ("weight", "bias")))
        x = three_frames(x.view(batch, insts, frames, 120))
        x = embed(x, *of(low, e + "conv2."), *of(full, e + "norm."))
        for i in range(self.depth):
            at = f"encoder.layers.{i}."
            x = self.layer_along_time(x, low, full, at + "timelayer.", 2**i, (batch, insts, frames))
            x = self.layer_across(x, low, full, at + "instlayer.", (batch, insts, frames))
        x = functional.layer_norm(x, (24,), *of(full, "norm."))
        x = x.view(batch, insts, frames, 24).transpose(1, 2).flatten(2)
        heads = [of(full, f"{n}_classifier.classifier.") for n in HEADS_OUT]
        w, b = (torch.cat(parts) for parts in zip(*heads, strict=True))
        return functional.linear(x, w, b).transpose(1, 2)

    def layer_along_time(
        self, x: Tensor, low: Named, full: Named, at: str, dilation: int, shape: Shape
    ) -> Tensor:
        """One layer on frames [N, 24]; song, instrument and frame have the sizes of `shape`."""
        y = functional.layer_norm(x, (24,), *of(full, at + "layernorm_before."))
        attended = []
        for name, d in (("attention.", dilation), ("attention2.", 2 * dilation)):
            w, silence = merged(low, at + name + "self.")
            qkv = functional.linear(y.to(w.dtype), w, silence).view(*shape, 72)
            o = attend(qkv, silence, full[at + name + "self.rpb"], d, 10 * dilation, self.block)
            attended.append(
                x + functional.linear(o.view(-1, 24), *of(low, at + name + "output.dense."))
            )
        h = torch.cat(attended, -1)
        return (attended[0] + attended[1]) / 2 + mlp(h, *mlp_parameters(low, full, at))

    def layer_across(self, x: Tensor, low: Named, full: Named, at: str, shape: Shape) -> Tensor:
        """One layer on frames [N, 24]."""
        y = functional.layer_norm(x, (24,), *of(full, at + "layernorm_before."))
        w, silence = merged(low, at + "attention.self.")
        qkv = functional.linear(y.to(w.dtype), w, silence).view(*shape, 72)
        o = attend(qkv, silence, full[at + "attention.self.rpb"], block=self.block)
        x = x + functional.linear(o.view(-1, 24), *of(low, at + "attention.output.dense."))
        return x + mlp(x, *mlp_parameters(low, full, at))


def of(parameters: Named, at: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of one map."""
    return parameters[at + "weight"], parameters[at + "bias"]


def merged(low: Named, at: str) -> tuple[Tensor, Tensor]:
    """Weights [72, 24] and biases [72] of queries, keys and values."""
    maps = [of(low, f"{at}{n}.") for n in ("query", "key", "value")]
    return torch.cat([w for w, _ in maps]), torch.cat([b for _, b in maps])


def mlp_parameters(low: Named, full: Named, at: str) -> tuple[Tensor, ...]:
    """Arguments of `mlp`, in its order."""
    dense = of(low, at + "intermediate.dense."), of(low, at + "output.dense.")
    return *of(full, at + "layernorm_after."), *dense[0], *dense[1]
