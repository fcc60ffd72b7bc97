"""Neighbourhood attention in plain PyTorch: along time by shifted slices, across instruments by blocks of frames."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

CHANNELS, HEADS, KEYS = 24, 2, 5


def projected(own: Any, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (scaled), keys and values, [..., 2, 12] each, by one product."""
    maps = own.query, own.key, own.value
    qkv = functional.linear(
        y, torch.cat([m.weight for m in maps]), torch.cat([m.bias for m in maps])
    )
    q, k, v = qkv.unflatten(-1, (3, HEADS, CHANNELS // HEADS)).unbind(-3)
    return q * (CHANNELS // HEADS) ** -0.5, k, v


def along_time(own: Any, y: Tensor, dilation: int, length: int) -> Tensor:
    """Attention of every instrument along time.

    Parameters
    ----------
    own : Module
        Holds ``query``, ``key``, ``value`` and the position biases ``rpb`` [2, 9].
    y : Tensor [B, 4, T, 24]
    dilation : int
        Frames between the keys of a window.
    length : int
        Number of frames that `y` is zero-padded to: at least ``5 * dilation``.

    Returns
    -------
    Tensor [B, 4, T, 24]
    """
    total = y.shape[2]
    q, k, v = projected(own, functional.pad(y, (0, 0, 0, length - total)) if length > total else y)
    attend: Any = ShiftedSlices.apply
    out: Tensor = attend(q, k, v, own.rpb.T.to(q.dtype), dilation)[:, :, :total].flatten(-2)
    return out


def regions(d: int, x: Tensor, queries: bool) -> tuple[Any, Any, Any]:
    """Views of x [B, 4, T, heads, 12] for the three groups of queries with the same shape of window.

    The middle has centred windows. The first and the last 2d queries are two rows of d, with the same five rows of keys.
    """
    length = x.shape[2]
    if queries:
        first, last = (x[:, :, a : a + 2 * d].unflatten(2, (2, d)) for a in (0, length - 2 * d))
        return x[:, :, 2 * d : length - 2 * d], first, last
    m = length - 4 * d
    first, last = (
        x[:, :, a : a + 5 * d].unflatten(2, (5, 1, d)).unbind(2) for a in (0, length - 5 * d)
    )
    return [x[:, :, j * d : j * d + m] for j in range(KEYS)], first, last


def bias_rows(j: int) -> tuple[Any, Any, Any]:
    """Row(s) of the bias [9, heads] for key j of each region."""
    return slice(j + 2, j + 3), [4 + j, 3 + j], [1 + j, j]


class ShiftedSlices(torch.autograd.Function):
    """Attention along time, with a custom gradient, as that of a slice would allocate a whole tensor of zeros."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, d: int) -> Tensor:
        """Attend; biases are [9, heads]."""
        out, weights = torch.empty_like(q, memory_format=torch.contiguous_format), []
        each = (
            regions(d, x, queries)
            for x, queries in ((q, True), (k, False), (v, False), (out, True))
        )
        for i, (query, keys, values, o) in enumerate(zip(*each, strict=True)):
            scores = []
            for j in range(KEYS):
                rows = bias[bias_rows(j)[i]]
                scores.append((query * keys[j]).sum(-1) + (rows[:, None] if i else rows))
            w = torch.stack(scores).softmax(0).unsqueeze(-1)
            torch.mul(w[0], values[0], out=o)
            for j in range(1, KEYS):
                o.addcmul_(w[j], values[j])
            weights.append(w)
        ctx.save_for_backward(q, k, v, bias, *weights)
        ctx.d = d
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of queries, keys, values and biases."""
        q, k, v, bias, *weights = ctx.saved_tensors
        d = ctx.d
        dq, dk, dv = (torch.zeros(x.shape, dtype=x.dtype, device=x.device) for x in (q, k, v))
        dbias = torch.zeros(bias.shape, device=bias.device)
        each = [
            regions(d, x, queries)
            for x, queries in (
                *((g, True), (q, True), (k, False), (v, False)),
                *((dq, True), (dk, False), (dv, False)),
            )
        ]
        for i, w in enumerate(weights):
            go, query, keys, values, gq, gk, gv = (x[i] for x in each)
            dw = torch.stack([(go * values[j]).sum(-1, keepdim=True) for j in range(KEYS)])
            ds = w * (dw - (w * dw).sum(0))
            by_key = ds.squeeze(-1).float().sum((1, 2, -2 if i else 3))
            for j in range(KEYS):
                gq.addcmul_(ds[j], keys[j])
                if i:
                    gk[j].add_((ds[j] * query).sum(2, keepdim=True))
                    gv[j].add_((w[j] * go).sum(2, keepdim=True))
                else:
                    gk[j].addcmul_(ds[j], query)
                    gv[j].addcmul_(w[j], go)
                dbias[bias_rows(j)[i]] += by_key[j]
        return dq, dk, dv, dbias.to(bias.dtype), None


def across_instruments(own: Any, y: Tensor) -> Tensor:
    """Attention over five instruments, the fifth all zeros, and five frames, in blocks of four frames.

    Parameters
    ----------
    own : Module
        Holds ``query``, ``key``, ``value`` and the position biases ``rpb`` [2, 9, 9].
    y : Tensor [B, 4, T, 24]
        T is a multiple of 4 and at least 12.

    Returns
    -------
    Tensor [B, 4, T, 24]
    """
    batch, insts, total, _ = y.shape
    q, k, v = projected(own, functional.pad(y, (0, 0, 0, 0, 0, 1)))
    blocks = total // 4
    q = q[:, :insts].reshape(batch, insts, blocks, 4, HEADS, -1).permute(0, 2, 4, 1, 3, 5)
    q = q.flatten(3, 4)  # [B, blocks, heads, 16, 12]
    k, v = (
        functional.pad(x, (0, 0, 0, 0, 2, 2))
        .unfold(2, 8, 4)
        .permute(0, 2, 3, 1, 5, 4)
        .flatten(3, 4)
        for x in (k, v)
    )
    scores = q @ k.transpose(-1, -2) + block_bias(own.rpb, blocks, insts)
    out = scores.softmax(-1).to(v.dtype) @ v
    joined: Tensor = out.unflatten(3, (insts, 4)).permute(0, 3, 1, 4, 2, 5).reshape(y.shape)
    return joined


def block_bias(rpb: Tensor, blocks: int, insts: int) -> Tensor:
    """Position biases [blocks, heads, insts*4, 40] of queries 4i…4i+3 and keys 4i−2…4i+5; −inf outside the window."""
    dev = rpb.device
    inst = torch.arange(KEYS, device=dev)[None] - torch.arange(insts, device=dev)[:, None] + 4
    query, key = torch.arange(4, device=dev)[:, None], torch.arange(8, device=dev)[None] - 2
    tables = []
    for low, high in ((0, 99), (-99, 99), (-99, 4)):  # first, middle, last block: frames that exist
        start = (query - 2).clamp(low, high - KEYS)
        inside = (key >= start) & (key < start + KEYS)
        t = rpb[:, inst[:, None, :, None], (key - query + 4).clamp(0, 8)[None, :, None, :]]
        tables.append(
            t.masked_fill(~inside[None, None, :, None, :], -torch.inf).flatten(3, 4).flatten(1, 2)
        )
    first, middle, last = tables
    return torch.cat([first[None], middle.expand(blocks - 2, *middle.shape), last[None]])
