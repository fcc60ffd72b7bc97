"""AdamW on one vector, with clipping and a moving average of the weights, without device synchronisation."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Optimiser:
    """AdamW.

    Parameters
    ----------
    weights : Tensor [n]
        The weights, which are updated in place.
    decayed : Tensor [n]
        1 for weights with weight decay, otherwise 0.
    """

    betas, epsilon, decay, clip = (0.9, 0.98), 1e-8, 0.01, 1.0

    def __init__(self, weights: Tensor, decayed: Tensor) -> None:
        self.weights, self.decayed = weights, decayed
        self.first, self.second = torch.zeros_like(weights), torch.zeros_like(weights)
        self.average = weights.detach().clone()
        self.steps = torch.zeros((), device=weights.device)
        self.rate = torch.zeros((), device=weights.device)
        self.average_rate = torch.ones((), device=weights.device)

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """Take a step; gradients that are not finite are ignored."""
        norm = gradient.norm()
        fine = torch.isfinite(norm)
        scale = self.clip / norm.clamp(min=self.clip)
        g = torch.where(fine, gradient * scale, 0)
        b1, b2 = self.betas
        self.steps += fine
        self.first.lerp_(g, fine * (1 - b1))
        self.second.lerp_(g * g, fine * (1 - b2))
        count = self.steps.clamp(min=1)
        spread = (self.second / (1 - torch.exp(count * math.log(b2)))).sqrt() + self.epsilon
        update = (
            self.first / (1 - torch.exp(count * math.log(b1))) / spread
            + self.decay * self.decayed * self.weights
        )
        self.weights.sub_(update * (self.rate * fine))
        self.average.lerp_(self.weights, self.average_rate)

    def state(self) -> dict[str, Tensor]:
        """The state that a later run needs to resume."""
        names = ("weights", "first", "second", "average", "steps")
        return {n: getattr(self, n).detach().cpu().clone() for n in names}

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Restore a state."""
        for name, value in state.items():
            getattr(self, name).copy_(value)
