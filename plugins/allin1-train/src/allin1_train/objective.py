"""The loss functions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from allin1_train.augment import constant

PARTS = ("beat", "downbeat", "section", "function")
WEIGHTS = (1.0, 2.0, 1.5, 0.4)
SMOOTHING = 0.03  # of the labels
POSITIVE = (2.0, 3.0, 4.0)  # relative weight of frames with an event


def losses(y: Tensor, targets: Tensor, labels: Tensor, label_weights: Tensor) -> Tensor:
    """Losses [4] of beats, downbeats, boundaries and labels, for logits [B, 13, T].

    Targets that are NaN, and labels below 0, are ignored.
    """
    rare = constant(POSITIVE, y.device)[:, None]
    known = ~torch.isnan(targets)
    curves = functional.binary_cross_entropy_with_logits(
        y[:, :3], targets.nan_to_num(), reduction="none", pos_weight=rare
    )
    curves = (curves * known).sum((0, 2)) / known.sum((0, 2)).clamp(min=1)
    return torch.cat([curves, cross_entropy(y[:, 3:], labels, label_weights)[None]])


def cross_entropy(
    y: Tensor, labels: Tensor, weights: Tensor, smoothing: float = SMOOTHING
) -> Tensor:
    """Cross-entropy for logits [B, 10, T]; unlike PyTorch's with weights and smoothing, without synchronisation."""
    logs = functional.log_softmax(y, 1)
    known, labels = labels >= 0, labels.clamp(min=0)
    share = weights[labels] * known
    right = (logs.gather(1, labels[:, None])[:, 0] * share).sum()
    every = (logs * weights[:, None] * known[:, None]).sum()
    return -((1 - smoothing) * right + smoothing / y.shape[1] * every) / share.sum().clamp(min=1e-6)


def weights_of_labels(counts: Tensor, power: float = 0.15) -> Tensor:
    """Weights of the labels, higher for rare ones, whose mean over all frames is 1."""
    share = counts.float().clamp(min=1) / counts.sum()
    w = share**-power
    return w / (w * share).sum()
