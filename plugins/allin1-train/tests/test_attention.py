"""Neighbourhood attention and its gradient, plain and in Triton, against the definition for each query."""

from types import SimpleNamespace

import pytest
import torch
from torch.func import functional_call

from allin1_train.attention import across_instruments, along_time
from allin1_train.network import Net, attention_parameters
from allin1_train.parameters import Layout


def parameters(axes):
    own = getattr(attention_parameters(axes), "self")  # noqa: B009
    for p in own.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return own


def window(i, length):
    first = min(max(i - 2, 0), length - 5)
    return range(first, first + 5)


def by_definition(own, y, dilation, length):
    """Compute attention for each query separately; across instruments if the biases have two axes."""
    insts, total = y.shape[1:3]
    across = own.rpb.ndim == 3
    y = torch.nn.functional.pad(y, (0, 0, 0, length - total, 0, int(across)))
    q, k, v = (m(y).unflatten(-1, (2, 12)) for m in (own.query, own.key, own.value))
    rows = []
    for n in range(insts):
        for t in range(total):
            residue, i = t % dilation, t // dilation
            frames = window(i, -(-(length - residue) // dilation))
            keys = (
                [(m, j) for m in range(insts + 1) for j in frames]
                if across
                else [(n, j) for j in frames]
            )
            bias = [
                own.rpb[:, m - n + 4, j - i + 4] if across else own.rpb[:, j - i + 4]
                for m, j in keys
            ]
            at = [(m, j * dilation + residue) for m, j in keys]
            scores = [
                (q[:, n, t] * k[:, m, f]).sum(-1) / 12**0.5 + b
                for (m, f), b in zip(at, bias, strict=True)
            ]
            weights = torch.stack(scores).softmax(0)
            values = torch.stack([v[:, m, f] for m, f in at])
            rows.append((weights[..., None] * values).sum(0).flatten(-2))
    return torch.stack(rows, 1).unflatten(1, (insts, total))


CASES = {
    "dilation 1": (1, 20, 1, 20),
    "dilation 3": (1, 20, 3, 24),
    "extended by silence": (1, 20, 4, 40),
    "across instruments": (2, 12, 1, 12),
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request):
    torch.manual_seed(0)
    axes, frames, dilation, length = request.param
    own = parameters(axes).double()
    y = torch.randn(1, 4, frames, 24, dtype=torch.float64, requires_grad=True)
    expected = by_definition(own, y, dilation, length)
    cotangent = torch.randn_like(expected)
    wanted = [y, *own.parameters()]
    return SimpleNamespace(
        own=own,
        y=y,
        dilation=dilation,
        length=length,
        expected=expected,
        cotangent=cotangent,
        wanted=wanted,
        gradients=torch.autograd.grad(expected, wanted, cotangent),
    )


def compare(case, found, tolerance):
    torch.testing.assert_close(found.double(), case.expected, rtol=0, atol=tolerance)
    gradients = torch.autograd.grad(found, case.wanted, case.cotangent.to(found.dtype))
    for mine, true in zip(gradients, case.gradients, strict=True):
        torch.testing.assert_close(mine, true, rtol=0, atol=tolerance * 20)


def test_plain_attention_and_its_gradient_are_those_of_the_definition(case):
    if case.own.rpb.ndim == 3:
        found = across_instruments(case.own, case.y)
    else:
        found = along_time(case.own, case.y, case.dilation, case.length)
    compare(case, found, 1e-6)


def test_triton_attention_and_its_gradient_are_those_of_the_definition(case):
    pytest.importorskip("triton", reason="the kernels are written in Triton")
    from allin1_train.kernels import attend

    maps = [case.own.query, case.own.key, case.own.value]
    silence = torch.cat([m.bias for m in maps]).float()
    w = torch.cat([m.weight for m in maps]).float()
    qkv = torch.nn.functional.linear(case.y.float(), w, silence)
    found = attend(qkv, silence, case.own.rpb.float(), case.dilation, case.length, block=16)
    compare(case, found, 1e-5)


def test_fast_network_and_its_gradient_are_those_of_the_plain_one():
    pytest.importorskip("triton", reason="the kernels are written in Triton")
    from allin1_train.fast import FastNet

    torch.manual_seed(0)
    net = Net(depth=1)
    layout = Layout(net)
    flat = layout.pack(net.state_dict())
    flat = (flat + 0.02 * torch.randn_like(flat)).requires_grad_()
    x = torch.rand(1, 4, 12, 81)
    plain = functional_call(net, layout.views(flat), x)
    named = layout.views(flat)
    fast = FastNet(depth=1, block=16)(named, named, x)
    torch.testing.assert_close(fast, plain, rtol=0, atol=1e-5)
    cotangent = torch.randn_like(plain)
    (true,) = torch.autograd.grad(plain, flat, cotangent)
    (mine,) = torch.autograd.grad(fast, flat, cotangent)
    assert (mine - true).norm() < 1e-5 * true.norm()
