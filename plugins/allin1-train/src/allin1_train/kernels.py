"""Neighbourhood attention of the network as Triton kernels, with its gradient.

Queries, keys and values of a token are one row of 72 numbers. A query attends to five frames, ``dilation`` apart, of its own
instrument (attention along time) or of all four and a silent fifth one (attention across instruments). Frames and the
instrument that do not exist have the keys and values of silence: the biases of the projection.

Only the logarithms of the softmax denominators are kept for the gradient; attention weights are recomputed.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

SLOTS = 64  # number of partial sums over all tokens, so that fewer programs add to the same address


@triton.jit
def window_start(frame, length, d):
    """First of the five offsets, in dilations, of a query's window: -2, or less or more at the ends."""
    low = tl.where(frame < d, 2, tl.where(frame < 2 * d, 1, 0))
    high = tl.where(frame >= length - d, 2, tl.where(frame >= length - 2 * d, 1, 0))
    return low - high - 2


@triton.jit
def key_rows(QKV, SILENCE, row, column, frame, exists, c):
    """Keys or values [frames, 16] of an instrument's row; those of silence for frames that do not exist."""
    at = QKV + (row + frame)[:, None] * 72 + column + c[None, :]
    x = tl.load(at, mask=exists[:, None] & (c < 12)[None, :], other=0.0).to(tl.float32)
    silence = tl.load(SILENCE + column + c, mask=c < 12, other=0.0).to(tl.float32)
    return tl.where(exists[:, None], x, silence[None, :])


@triton.jit
def attend_forward(
    QKV, SILENCE, BIAS, OUT, LSE, T, length, d, ACROSS: tl.constexpr, BLOCK: tl.constexpr
):
    """A block of queries of one instrument and one head."""
    block, row, head = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.program_id(2)
    c = tl.arange(0, 16)
    t = block * BLOCK + tl.arange(0, BLOCK)
    there = t < T
    q = tl.load(
        QKV + (row * T + t)[:, None] * 72 + head * 12 + c[None, :],
        mask=there[:, None] & (c < 12)[None, :],
        other=0.0,
    ).to(tl.float32) * (12**-0.5)
    first = window_start(t, length, d) + 4
    edge = (block * BLOCK < 2 * d) | ((block + 1) * BLOCK > length - 2 * d)
    top = tl.full([BLOCK], -1e30, tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    out = tl.zeros([BLOCK, 16], tl.float32)
    inst = row % 4
    for n in range(5 if ACROSS else 1):
        other = ((row - inst + n) if ACROSS else row) * T
        bias_row = BIAS + ((head * 9 + n - inst + 4) * 9 if ACROSS else head * 9)
        for r in range(tl.where(edge, 0, 2), tl.where(edge, 9, 7)):
            frame = t + (r - 4) * d
            valid = (r >= first) & (r <= first + 4)
            exists = valid & (frame < T) & (n < 4)
            k = key_rows(QKV, SILENCE, other, 24 + head * 12, frame, exists, c)
            v = key_rows(QKV, SILENCE, other, 48 + head * 12, frame, exists, c)
            s = tl.sum(q * k, 1) + tl.load(bias_row + r)
            new = tl.where(valid, tl.maximum(top, s), top)
            shrink = tl.exp(top - new)
            w = tl.exp(tl.where(valid, s - new, -1e30))
            total = total * shrink + w
            out = out * shrink[:, None] + w[:, None] * v
            top = new
    out = out / total[:, None]
    at = (row * T + t)[:, None] * 24 + head * 12 + c[None, :]
    tl.store(OUT + at, out.to(OUT.dtype.element_ty), mask=there[:, None] & (c < 12)[None, :])
    tl.store(LSE + (row * T + t) * 2 + head, top + tl.log(total), mask=there)


@triton.jit
def attend_backward_queries(
    QKV,
    SILENCE,
    BIAS,
    OUT,
    LSE,
    GO,
    DQKV,
    DELTA,
    DBIAS,
    T,
    length,
    d,
    ACROSS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Gradients of a block of queries, and its contribution to those of the position biases."""
    block, row, head = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.program_id(2)
    c = tl.arange(0, 16)
    t = block * BLOCK + tl.arange(0, BLOCK)
    there = t < T
    mask = there[:, None] & (c < 12)[None, :]
    q = tl.load(
        QKV + (row * T + t)[:, None] * 72 + head * 12 + c[None, :], mask=mask, other=0.0
    ).to(tl.float32)
    q = q * (12**-0.5)
    at = (row * T + t)[:, None] * 24 + head * 12 + c[None, :]
    go = tl.load(GO + at, mask=mask, other=0.0).to(tl.float32)
    delta = tl.sum(go * tl.load(OUT + at, mask=mask, other=0.0).to(tl.float32), 1)
    lse = tl.load(LSE + (row * T + t) * 2 + head, mask=there, other=0.0)
    tl.store(DELTA + (row * T + t) * 2 + head, delta, mask=there)
    first = window_start(t, length, d) + 4
    edge = (block * BLOCK < 2 * d) | ((block + 1) * BLOCK > length - 2 * d)
    dq = tl.zeros([BLOCK, 16], tl.float32)
    inst = row % 4
    slot = (row * tl.num_programs(0) + block) % 64
    for n in range(5 if ACROSS else 1):
        other = ((row - inst + n) if ACROSS else row) * T
        bias_row = (head * 9 + n - inst + 4) * 9 if ACROSS else head * 9
        for r in range(tl.where(edge, 0, 2), tl.where(edge, 9, 7)):
            frame = t + (r - 4) * d
            valid = there & (r >= first) & (r <= first + 4)
            exists = valid & (frame < T) & (n < 4)
            k = key_rows(QKV, SILENCE, other, 24 + head * 12, frame, exists, c)
            v = key_rows(QKV, SILENCE, other, 48 + head * 12, frame, exists, c)
            s = tl.sum(q * k, 1) + tl.load(BIAS + bias_row + r)
            w = tl.exp(tl.where(valid, s - lse, -1e30))
            ds = w * (tl.sum(go * v, 1) - delta)
            dq += ds[:, None] * k
            tl.atomic_add(DBIAS + slot * (162 if ACROSS else 18) + bias_row + r, tl.sum(ds, 0))
    at = DQKV + (row * T + t)[:, None] * 72 + head * 12 + c[None, :]
    tl.store(at, (dq * (12**-0.5)).to(DQKV.dtype.element_ty), mask=mask)


@triton.jit
def attend_backward_keys(
    QKV,
    SILENCE,
    BIAS,
    LSE,
    GO,
    DELTA,
    DQKV,
    DSILENCE,
    T,
    length,
    d,
    ACROSS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Gradients of a block of keys and values of one instrument, also of those of silence."""
    block, row, head = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.program_id(2)
    inst = row % 5 if ACROSS else row % 4
    song = row // 5 if ACROSS else row // 4
    c = tl.arange(0, 16)
    t = block * BLOCK + tl.arange(0, BLOCK)
    exists = (t < T) & (inst < 4)
    own = (song * 4 + inst) * T
    k = key_rows(QKV, SILENCE, own, 24 + head * 12, t, exists, c)
    v = key_rows(QKV, SILENCE, own, 48 + head * 12, t, exists, c)
    edge = (block * BLOCK < 6 * d) | ((block + 1) * BLOCK > length - 6 * d)
    dk = tl.zeros([BLOCK, 16], tl.float32)
    dv = tl.zeros([BLOCK, 16], tl.float32)
    for n in range(4 if ACROSS else 1):
        other = (song * 4 + (n if ACROSS else inst)) * T
        bias_row = BIAS + ((head * 9 + inst - n + 4) * 9 if ACROSS else head * 9)
        for r in range(tl.where(edge, 0, 2), tl.where(edge, 9, 7)):
            frame = t - (r - 4) * d
            first = window_start(frame, length, d) + 4
            valid = (frame >= 0) & (frame < T) & (r >= first) & (r <= first + 4) & (t < length)
            mask = valid[:, None] & (c < 12)[None, :]
            q = tl.load(
                QKV + (other + frame)[:, None] * 72 + head * 12 + c[None, :], mask=mask, other=0.0
            )
            q = q.to(tl.float32) * (12**-0.5)
            go = tl.load(
                GO + (other + frame)[:, None] * 24 + head * 12 + c[None, :], mask=mask, other=0.0
            )
            go = go.to(tl.float32)
            lse = tl.load(LSE + (other + frame) * 2 + head, mask=valid, other=0.0)
            delta = tl.load(DELTA + (other + frame) * 2 + head, mask=valid, other=0.0)
            s = tl.sum(q * k, 1) + tl.load(bias_row + r)
            w = tl.exp(tl.where(valid, s - lse, -1e30))
            ds = w * (tl.sum(go * v, 1) - delta)
            dk += ds[:, None] * q
            dv += w[:, None] * go
    mask = exists[:, None] & (c < 12)[None, :]
    at = DQKV + (own + t)[:, None] * 72 + head * 12 + c[None, :]
    tl.store(at + 24, dk.to(DQKV.dtype.element_ty), mask=mask)
    tl.store(at + 48, dv.to(DQKV.dtype.element_ty), mask=mask)
    if (inst == 4) | ((block + 1) * BLOCK > T):
        slot = DSILENCE + ((row * tl.num_programs(0) + block) % 64) * 72 + head * 12 + c
        tl.atomic_add(slot + 24, tl.sum(tl.where(exists[:, None], 0.0, dk), 0), mask=c < 12)
        tl.atomic_add(slot + 48, tl.sum(tl.where(exists[:, None], 0.0, dv), 0), mask=c < 12)


class Attend(torch.autograd.Function):
    """Neighbourhood attention [B, 4, T, 72] → [B, 4, T, 24]; use `attend`."""

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, silence: Tensor, bias: Tensor, dilation: int, length: int, block: int
    ) -> Tensor:
        """Attend, and save the logarithms of the denominators."""
        batch, insts, frames, _ = qkv.shape
        across = bias.ndim == 3
        length = frames if across else max(frames, length, 5 * dilation)
        out = torch.empty(batch, insts, frames, 24, dtype=qkv.dtype, device=qkv.device)
        lse = torch.empty(batch, insts, frames, 2, dtype=torch.float32, device=qkv.device)
        grid = (triton.cdiv(frames, block), batch * insts, 2)
        attend_forward[grid](qkv, silence, bias, out, lse, frames, length, dilation, across, block)
        ctx.save_for_backward(qkv, silence, bias, out, lse)
        ctx.sizes = frames, length, dilation, across, block
        return out

    @staticmethod
    def backward(ctx: Any, go: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of tokens, of silence and of the biases."""
        qkv, silence, bias, out, lse = ctx.saved_tensors
        frames, length, _, across, block = sizes = ctx.sizes
        batch, insts = qkv.shape[:2]
        go = go.contiguous()
        dqkv, delta = torch.empty_like(qkv), torch.empty_like(lse)
        dbias = torch.zeros(SLOTS, *bias.shape, dtype=torch.float32, device=qkv.device)
        dsilence = torch.zeros(SLOTS, 72, dtype=torch.float32, device=qkv.device)
        grid = (triton.cdiv(frames, block), batch * insts, 2)
        attend_backward_queries[grid](qkv, silence, bias, out, lse, go, dqkv, delta, dbias, *sizes)
        grid = (triton.cdiv(length, block), batch * (5 if across else insts), 2)
        attend_backward_keys[grid](qkv, silence, bias, lse, go, delta, dqkv, dsilence, *sizes)
        return (
            dqkv,
            dsilence.sum(0).to(silence.dtype),
            dbias.sum(0).to(bias.dtype),
            None,
            None,
            None,
        )


def attend(
    qkv: Tensor, silence: Tensor, bias: Tensor, dilation: int = 1, length: int = 0, block: int = 128
) -> Tensor:
    """Neighbourhood attention along time (biases [2, 9]) or across instruments ([2, 9, 9]).

    Parameters
    ----------
    qkv : Tensor [B, 4, T, 72]
        Queries, keys and values, each of two heads of 12, contiguous.
    silence : Tensor [72]
        The same for a token of zeros.
    bias : Tensor
        Position biases, float32.
    dilation : int
        Frames between the keys of a window.
    length : int
        Minimum number of frames that the song is padded to with silence.
    block : int
        Number of frames that a program processes.
    """
    apply: Any = Attend.apply
    out: Tensor = apply(qkv, silence, bias, dilation, length, block)
    return out
