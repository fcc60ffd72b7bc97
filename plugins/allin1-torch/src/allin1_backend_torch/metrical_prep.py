"""The stage ``metrical_prep``: converts logits to activations for the decoder, as in allin1 1.1.0."""

from __future__ import annotations

import torch
from allin1_core.contracts.logits import Activations, Logits
from allin1_core.contracts.stages import MetricalPrep, Setup, Task

from allin1_backend_torch.waiting import Waiting

#: Minimum probability of a beat that is not a downbeat, before the three are normalised to a sum of 1.
LEAST_BEAT = 1e-8


def create(setup: Setup) -> MetricalPrep:
    """Return the stage's callable, which runs on the device of its input."""
    return Waiting(metrical_prep, torch.device(setup.device))


def metrical_prep(logits: Logits, task: Task, /) -> Activations:
    """Return the probabilities of "beat that is not a downbeat" and "downbeat" at each frame."""
    with torch.no_grad():
        # PyTorch's sigmoid rounds differently for strided memory.
        beat = torch.sigmoid(logits.beat.contiguous())
        downbeat = torch.sigmoid(logits.downbeat.contiguous())
        excess = beat - downbeat
        beat_only = excess.clamp(min=LEAST_BEAT)
        # The sum of the three, including "neither", which is 1 - (beat + downbeat) / 2.
        total = torch.add(beat_only, excess, alpha=-0.5).add_(1)
        return Activations(torch.stack([beat_only, downbeat], dim=1) / total[:, None])
