"""The stage ``metrical_prep``: beat and downbeat logits to the decoder's activations, as allin1 1.1.0 has it."""

from __future__ import annotations

import torch
from allin1_core.contracts.logits import Activations, Logits
from allin1_core.contracts.stages import MetricalPrep, Setup, Task

from allin1_backend_torch.waiting import Waiting

#: Least probability of a beat that is no downbeat, before the three are made to sum to 1.
LEAST_BEAT = 1e-8


def create(setup: Setup) -> MetricalPrep:
    """Return the stage's callable, which works wherever its tensors are."""
    return Waiting(metrical_prep, torch.device(setup.device))


def metrical_prep(logits: Logits, task: Task, /) -> Activations:
    """Return the probabilities of "beat that is no downbeat" and "downbeat" at each frame."""
    with torch.no_grad():
        # PyTorch's sigmoid rounds differently in strided memory.
        beat = torch.sigmoid(logits.beat.contiguous())
        downbeat = torch.sigmoid(logits.downbeat.contiguous())
        beat_only = (beat - downbeat).clamp_(min=LEAST_BEAT)
        neither = 1 - (beat + downbeat) / 2
        columns = torch.stack([beat_only, downbeat, neither], dim=1)
        columns /= columns.sum(dim=1, keepdim=True)
        return Activations(columns[:, :2].contiguous())
