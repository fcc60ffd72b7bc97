"""The stage ``metrical_prep``: converts logits to activations for the decoder, as in allin1 1.1.0."""

from __future__ import annotations

import mlx.core as mx
from allin1_core.contracts.logits import Activations, Logits
from allin1_core.contracts.stages import MetricalPrep, Setup, Task

from allin1_backend_mlx.computing import OnDevice

#: Minimum probability of a beat that is not a downbeat, before the three are normalised to a sum of 1.
LEAST_BEAT = 1e-8


def create(setup: Setup) -> MetricalPrep:
    """Return the stage's callable."""
    return OnDevice(metrical_prep, setup.device)


def metrical_prep(logits: Logits, task: Task, /) -> Activations:
    """Return the probabilities of "beat that is not a downbeat" and "downbeat" at each frame."""
    beat, downbeat = mx.sigmoid(logits.beat), mx.sigmoid(logits.downbeat)
    beat_only = mx.maximum(beat - downbeat, LEAST_BEAT)
    neither = 1 - (beat + downbeat) / 2
    total = beat_only + downbeat + neither
    return Activations(mx.stack([beat_only / total, downbeat / total], axis=1))
