"""What training minimises."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .augment import constant

PARTS = ("beat", "downbeat", "section", "function")
WEIGHTS = (1.0, 2.0, 1.5, 0.4)
SMOOTHING = 0.03  # of the labels
POSITIVE = (2.0, 3.0, 4.0)  # how much more an event's frame counts than one without


def losses(y: Tensor, targets: Tensor, labels: Tensor, label_weights: Tensor) -> Tensor:
    """Losses [4] of beats, downbeats, boundaries and labels, for logits [B, 13, T]."""
    rare = constant(POSITIVE, y.device)[:, None]
    curves = F.binary_cross_entropy_with_logits(y[:, :3], targets, reduction="none", pos_weight=rare)
    return torch.cat([curves.mean((0, 2)), cross_entropy(y[:, 3:], labels, label_weights)[None]])


def cross_entropy(y: Tensor, labels: Tensor, weights: Tensor, smoothing: float = SMOOTHING) -> Tensor:
    """PyTorch's, for logits [B, 10, T]; its own waits for the device where labels have weights and are smoothed."""
    logs = F.log_softmax(y, 1)
    share = weights[labels]
    right = (logs.gather(1, labels[:, None])[:, 0] * share).sum()
    every = (logs * weights[:, None]).sum()
    return -((1 - smoothing) * right + smoothing / y.shape[1] * every) / share.sum()


def weights_of_labels(counts: Tensor, power: float = 0.15) -> Tensor:
    """Weights of the labels, higher for rare ones, whose mean over all frames is 1."""
    share = counts.float().clamp(min=1) / counts.sum()
    w = share**-power
    return w / (w * share).sum()
