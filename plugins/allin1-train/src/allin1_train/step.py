"""One step of training, plain or fast, and the check that both compute the same."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.func import functional_call

from allin1_train import augment
from allin1_train.network import Net
from allin1_train.objective import WEIGHTS, losses
from allin1_train.optimiser import Optimiser
from allin1_train.parameters import Layout
from allin1_train.songs_in_memory import BANDS, SongRing


class Network(Protocol):
    """Logits float32 [B, 13, T] of a vector of parameters and views [B, 4, T, 81].

    Attributes
    ----------
    low
        Data type of the views.
    """

    low: torch.dtype

    def __call__(self, weights: Tensor, x: Tensor) -> Tensor:
        """Compute."""


class PlainNet:
    """`Net` computed from a vector of parameters; on a GPU in mixed precision."""

    def __init__(self, net: Net, layout: Layout, low: torch.dtype) -> None:
        self.net, self.layout, self.low = net, layout, low

    def __call__(self, weights: Tensor, x: Tensor) -> Tensor:
        """Compute."""
        with torch.autocast(x.device.type, self.low, enabled=self.low != torch.float32):
            y: Tensor = functional_call(self.net, self.layout.views(weights), x.float())
        return y.float()


class Accelerated:
    """`FastNet` computed from a vector of parameters."""

    def __init__(self, layout: Layout, depth: int, low: torch.dtype) -> None:
        from allin1_train.fast import FastNet

        self.net, self.layout, self.low = FastNet(depth), layout, low

    def __call__(self, weights: Tensor, x: Tensor) -> Tensor:
        """Compute."""
        views = self.layout.views
        return self.net(views(weights.to(self.low)), views(weights), x).float()


class Step:
    """Crops, augmentation, network, gradient, update: all on the device, optionally as one CUDA graph.

    Parameters
    ----------
    network : Network
    songs : SongRing
    optimiser : Optimiser
    label_weights : Tensor [10]
    batch, frames : int
        Crops, and their length.
    """

    def __init__(
        self,
        network: Network,
        songs: SongRing,
        optimiser: Optimiser,
        label_weights: Tensor,
        batch: int,
        frames: int,
    ) -> None:
        self.network, self.songs, self.optimiser = network, songs, optimiser
        self.label_weights = label_weights
        self.batch, self.frames = batch, frames
        self.factors = torch.tensor(WEIGHTS, device=songs.device)
        self.sums = torch.zeros(len(WEIGHTS), device=songs.device)

    def __call__(self) -> None:
        """Take the step."""
        crops = self.songs.crops(self.batch, self.frames)
        changes = augment.draw(self.batch, self.frames, BANDS, self.songs.device)
        x = augment.apply(crops, changes, self.network.low)
        # A new leaf for this step: that of an earlier step would tie the graph to that step's stream.
        weights = self.optimiser.weights.detach().requires_grad_()
        y = self.network(weights, x)
        parts = losses(y, crops.targets, crops.labels, self.label_weights)
        (gradient,) = torch.autograd.grad((parts * self.factors).sum(), weights)
        self.optimiser.step(gradient)
        self.sums += parts.detach()


def captured(step: Step, pool: Any = None) -> tuple[Callable[[], None], Any]:
    """Return the step as a CUDA graph, and the memory pool, which other graphs can share."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
        step()
    return graph.replay, graph.pool()


def difference(a: Tensor, b: Tensor) -> float:
    """Relative distance, for a norm that is not zero."""
    return float((a - b).norm() / b.norm())


def check_fast(device: torch.device, depth: int = 11) -> list[str]:
    """Compare the fast network with the plain one on the device; returns a description of each difference."""
    begin = time.time()
    torch.manual_seed(0)
    net = Net(depth).to(device)
    layout = Layout(net)
    weights = layout.pack(net.state_dict(), device)
    weights = (weights + 0.02 * torch.randn_like(weights)).requires_grad_()
    wrong = []
    exact: Network = PlainNet(net, layout, torch.float32)
    allow = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    for batch, frames, low, limit, limit_gradient in (
        (2, 1200, torch.float32, 2e-4, 2e-3),
        (1, 12000, torch.float32, 2e-4, 2e-3),
        (2, 1200, torch.bfloat16, 3e-2, 1.5e-1),
    ):
        x = torch.rand(batch, 4, frames, 81, device=device) * 1.5
        g = torch.randn(batch, 13, frames, device=device)
        fast = Accelerated(layout, depth, low)
        ys: list[Tensor] = []
        gradients: list[Tensor] = []
        networks: tuple[Network, ...] = (exact, fast)
        for network in networks:
            y = network(weights, x)
            ys.append(y.detach())
            gradients += torch.autograd.grad(y, weights, g)
        off, off_gradient = difference(ys[1], ys[0]), difference(gradients[1], gradients[0])
        print(
            f"fast against plain, {low}, {frames} frames: logits {off:.1e}, gradient {off_gradient:.1e}",
            flush=True,
        )
        if not (off < limit and off_gradient < limit_gradient):
            wrong.append(
                f"{low}, {frames} frames: logits differ by {off:.1e}, gradients by {off_gradient:.1e}"
            )
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = allow
    print(f"check took {time.time() - begin:.0f} s", flush=True)
    return wrong
