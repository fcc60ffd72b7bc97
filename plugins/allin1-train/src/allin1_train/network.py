"""The All-In-One network as a PyTorch module, with the original names of its parameters.

This is the plain version: it works on every device, and the fast version (`fast`) is compared with it.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from allin1_train.attention import CHANNELS, HEADS, KEYS, across_instruments, along_time

LABELS = ("start", "end", "intro", "outro", "break", "bridge", "inst", "solo", "verse", "chorus")
DEPTH = 11
HEADS_OUT = ("beat", "downbeat", "section", "function")


def holder(**modules: nn.Module) -> Any:
    """Return a module that only contains other modules under their names."""
    m = nn.Module()
    for name, module in modules.items():
        m.add_module(name, module)
    return m


def attention_parameters(axes: int) -> Any:
    """Parameters of one attention; its position biases have one axis (time) or two (instruments, time)."""
    own = holder(**{name: nn.Linear(CHANNELS, CHANNELS) for name in ("query", "key", "value")})
    own.rpb = nn.Parameter(torch.zeros(HEADS, *(2 * KEYS - 1,) * axes))
    return holder(self=own, output=holder(dense=nn.Linear(CHANNELS, CHANNELS)))


class Layer(nn.Module):
    """Attention and MLP; the layer along time has two parallel attentions with dilations d and 2d."""

    attention: Any
    attention2: Any
    intermediate: Any
    output: Any

    def __init__(self, in_time: bool, dilation: int) -> None:
        super().__init__()
        width = 2 * CHANNELS if in_time else CHANNELS
        self.in_time, self.dilation = in_time, dilation
        self.layernorm_before, self.layernorm_after = nn.LayerNorm(CHANNELS), nn.LayerNorm(width)
        self.attention = attention_parameters(1 if in_time else 2)
        if in_time:
            self.attention2 = attention_parameters(1)
        self.intermediate = holder(dense=nn.Linear(width, 4 * width))
        self.output = holder(dense=nn.Linear(4 * width, CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        """Return the state [B, 4, T, 24] after the layer."""
        y = self.layernorm_before(x)
        if self.in_time:
            parts = (self.attention, self.attention2)
            length = max(x.shape[-2], 10 * self.dilation)
            a, b = (
                x + p.output.dense(along_time(p.self, y, d, length))
                for p, d in zip(parts, (self.dilation, 2 * self.dilation), strict=True)
            )
            x, h = (a + b) / 2, torch.cat([a, b], -1)
        else:
            attended = across_instruments(self.attention.self, y)
            x = h = x + self.attention.output.dense(attended)
        h = functional.gelu(self.intermediate.dense(self.layernorm_after(h)))
        made: Tensor = x + self.output.dense(h)
        return made


class Net(nn.Module):
    """Logits [B, 13, T] (beat, downbeat, section, ten labels) of views [B, 4, T, 81].

    T is a multiple of 4 and at least 12.

    Parameters
    ----------
    depth : int
        Number of pairs of layers; the published network has 11.
    """

    def __init__(self, depth: int = DEPTH) -> None:
        super().__init__()
        self.embeddings = holder(
            conv0=nn.Conv2d(1, 12, 3, padding=(1, 0)),
            conv1=nn.Conv2d(12, CHANNELS, (1, 12)),
            conv2=nn.Conv2d(CHANNELS, CHANNELS, 3, padding=(1, 0)),
            norm=nn.LayerNorm(CHANNELS),
        )
        layers = [
            holder(timelayer=Layer(True, 2**i), instlayer=Layer(False, 1)) for i in range(depth)
        ]
        self.encoder = holder(layers=nn.ModuleList(layers))
        self.norm = nn.LayerNorm(CHANNELS)
        for name, n in zip(HEADS_OUT, (1, 1, 1, 10), strict=True):
            self.add_module(f"{name}_classifier", holder(classifier=nn.Linear(4 * CHANNELS, n)))
        for name, p in self.named_parameters():
            if name.endswith(".weight") and p.ndim == 2 and "classifier" not in name:
                # Branches are initialised small, so that the deep network initially acts as a shallow one.
                nn.init.trunc_normal_(
                    p, std=(0.2 if "output.dense" in name else 0.8) * p.shape[1] ** -0.5
                )
            elif name.endswith("rpb"):
                nn.init.trunc_normal_(p, std=0.02)
            elif name.endswith("classifier.bias") and p.numel() == 1:
                nn.init.constant_(p, -3.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        e: Any = self.embeddings
        batch = x.shape[0]
        x = x.flatten(0, 1).unsqueeze(1)
        for conv in (e.conv0, e.conv1, e.conv2):
            x = functional.elu(functional.max_pool2d(conv(x), (1, 3)))
        x = e.norm(x[..., 0].transpose(1, 2)).unflatten(0, (batch, -1))  # [B, 4, T, 24]
        blocks: Any = self.encoder
        for block in blocks.layers:
            x = block.instlayer(block.timelayer(x))
        x = self.norm(x).transpose(1, 2).flatten(2)
        heads: list[Any] = [getattr(self, f"{n}_classifier").classifier for n in HEADS_OUT]
        y = functional.linear(
            x, torch.cat([h.weight for h in heads]), torch.cat([h.bias for h in heads])
        )
        return y.transpose(1, 2).float()
