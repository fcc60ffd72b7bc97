"""The same network, fast on a GPU: convolutions as matrix products, attention in Triton.

What works on single frames sees a flat list of them. Products take and give bfloat16, what goes from layer to layer
is float32. Nothing waits for the device, so that a whole step can be captured as a CUDA graph.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .kernels import attend
from .network import HEADS_OUT


def front(x: Tensor, w0, b0, w1, b1) -> Tensor:
    """First two convolutions with their pooling, [N, 248] (three frames side by side) → [N, 120]."""
    dtype, dev = x.dtype, x.device
    band, place, tap = (torch.arange(n, device=dev) for n in (81, 78, 3))
    s = (band[:, None, None] - place[None, :, None] == tap).to(dtype).flatten(0, 1)
    # w0 [12, 1, 3, 3] → [3 frames, 81 bands, 78 places, 12]
    m = (s @ w0.squeeze(1).permute(2, 1, 0).reshape(3, 36)).view(81, 78, 3, 12).permute(2, 0, 1, 3)
    m = F.pad(m.reshape(243, 936), (0, 0, 0, 5))
    x = F.linear(x, m.T, b0.repeat(78))
    x = F.elu(x.view(-1, 26, 3, 12).amax(2)).flatten(1)
    band, place, tap = (torch.arange(n, device=dev) for n in (26, 15, 12))
    s = (band[:, None, None] - place[None, :, None] == tap).to(dtype).flatten(0, 1)
    # w1 [24, 12, 1, 12] → [26 bands, 12, 15 places, 24]
    m = (s @ w1.squeeze(2).permute(2, 1, 0).reshape(12, 288)).view(26, 15, 12, 24).transpose(1, 2)
    x = F.linear(x, m.reshape(312, 360).T, b1.repeat(15))
    return F.elu(x.view(-1, 5, 3, 24).amax(2)).flatten(1)


def embed(x: Tensor, w2, b2, gain, shift) -> Tensor:
    """Third convolution, pooling and norm, [N, 360] (three frames side by side) → float32 [N, 24]."""
    band, place, tap = (torch.arange(n, device=x.device) for n in (5, 3, 3))
    s = (band[:, None, None] - place[None, :, None] == tap).to(x.dtype).flatten(0, 1)
    # w2 [24, 24, 3 frames, 3] → [3 frames, 5 bands, 24, 3 places, 24]
    m = (s @ w2.permute(3, 2, 1, 0).reshape(3, 1728)).view(5, 3, 3, 24, 24).permute(2, 0, 3, 1, 4)
    x = F.linear(x, m.reshape(360, 72).T, b2.repeat(3))
    x = F.elu(x.view(-1, 3, 24).amax(1)).float()
    return F.layer_norm(x, (24,), gain, shift)


def project(x: Tensor, gain, shift, w, b, w_too, b_too) -> tuple[Tensor, Tensor]:
    """Norm, and queries, keys and values of two attentions."""
    y = F.layer_norm(x, (24,), gain, shift).to(w.dtype)
    return F.linear(y, w, b), F.linear(y, w_too, b_too)


def project_one(x: Tensor, gain, shift, w, b) -> Tensor:
    """Norm, and queries, keys and values."""
    return F.linear(F.layer_norm(x, (24,), gain, shift).to(w.dtype), w, b)


def mlp(x: Tensor, gain, shift, w1, b1, w2, b2) -> Tensor:
    """Norm and two dense layers."""
    h = F.layer_norm(x, (x.shape[-1],), gain, shift).to(w1.dtype)
    return F.linear(F.gelu(F.linear(h, w1, b1)), w2, b2)


def after_time(x: Tensor, o, w, b, o_too, w_too, b_too, *mlp_parameters) -> Tensor:
    """What follows the two attentions along time."""
    a, c = x + F.linear(o, w, b), x + F.linear(o_too, w_too, b_too)
    return (a + c) / 2 + mlp(torch.cat([a, c], -1), *mlp_parameters)


def after_instruments(x: Tensor, o, w, b, *mlp_parameters) -> Tensor:
    """What follows the attention across instruments."""
    x = x + F.linear(o, w, b)
    return x + mlp(x, *mlp_parameters)


def three_frames(x: Tensor, pad: int = 0) -> Tensor:
    """Each frame between its neighbours, [..., T, C] → [N, 3 C + pad]; zeros beyond the ends."""
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
        Frames that a program of the attention's kernels works on.
    """

    def __init__(self, depth: int = 11, block: int = 128):
        self.depth, self.block = depth, block

    def __call__(self, low: dict[str, Tensor], full: dict[str, Tensor], x: Tensor) -> Tensor:
        """Logits [B, 13, T] of views [B, 4, T, 81]; `low` are the parameters for products, `full` those in float32."""
        batch, insts, frames, _ = x.shape
        e = "embeddings."
        x = three_frames(x.to(low[e + "conv0.weight"].dtype), 5)
        x = front(x, *(low[e + n] for n in ("conv0.weight", "conv0.bias", "conv1.weight", "conv1.bias")))
        x = three_frames(x.view(batch, insts, frames, 120))
        x = embed(x, low[e + "conv2.weight"], low[e + "conv2.bias"], full[e + "norm.weight"], full[e + "norm.bias"])
        for i in range(self.depth):
            x = self.layer_along_time(x, low, full, f"encoder.layers.{i}.timelayer.", 2**i, (batch, insts, frames))
            x = self.layer_across(x, low, full, f"encoder.layers.{i}.instlayer.", (batch, insts, frames))
        x = F.layer_norm(x, (24,), full["norm.weight"], full["norm.bias"])
        x = x.view(batch, insts, frames, 24).transpose(1, 2).flatten(2)
        w, b = (
            torch.cat([full[f"{n}_classifier.classifier.{kind}"] for n in HEADS_OUT])
            for kind in ("weight", "bias")
        )
        return F.linear(x, w, b).transpose(1, 2)

    def layer_along_time(self, x, low, full, at, dilation, shape):
        """One layer on frames [N, 24]."""
        norm = full[at + "layernorm_before.weight"], full[at + "layernorm_before.bias"]
        pairs = [merged(low, f"{at}{a}.self.") for a in ("attention", "attention2")]
        qkv = project(x, *norm, *pairs[0], *pairs[1])
        rest = []
        for a, y, (_, silence), d in zip(
            ("attention", "attention2"), qkv, pairs, (dilation, 2 * dilation), strict=True
        ):
            o = attend(y.view(*shape, 72), silence, full[f"{at}{a}.self.rpb"], d, 10 * dilation, self.block)
            dense = f"{at}{a}.output.dense."
            rest += [o.view(-1, 24), low[dense + "weight"], low[dense + "bias"]]
        return after_time(x, *rest, *mlp_parameters(low, full, at))

    def layer_across(self, x, low, full, at, shape):
        """One layer on frames [N, 24]."""
        norm = full[at + "layernorm_before.weight"], full[at + "layernorm_before.bias"]
        w, silence = merged(low, f"{at}attention.self.")
        y = project_one(x, *norm, w, silence)
        o = attend(y.view(*shape, 72), silence, full[f"{at}attention.self.rpb"], block=self.block)
        dense = f"{at}attention.output.dense."
        out = low[dense + "weight"], low[dense + "bias"]
        return after_instruments(x, o.view(-1, 24), *out, *mlp_parameters(low, full, at))


def merged(low, at):
    """Weights [72, 24] and biases [72] of queries, keys and values."""
    names = [at + n for n in ("query", "key", "value")]
    return tuple(torch.cat([low[f"{n}.{kind}"] for n in names]) for kind in ("weight", "bias"))


def mlp_parameters(low, full, at):
    """Those of `mlp`, in its order."""
    norm = full[at + "layernorm_after.weight"], full[at + "layernorm_after.bias"]
    dense = (at + "intermediate.dense.", at + "output.dense.")
    return *norm, *(low[d + kind] for d in dense for kind in ("weight", "bias"))
