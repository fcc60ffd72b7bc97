"""The decoder's activations in NumPy.

The network gives one probability for "beat" (downbeats among them) and one for "downbeat"; the decoder wants
"beat that is no downbeat", "downbeat" and "neither" to exclude each other. This is how allin1 1.1.0 turns
the one into the other, in float32.
"""

from __future__ import annotations

import numpy as np

from allin1_core.contracts.logits import Activations, Logits
from allin1_core.contracts.stages import MetricalPrep, Setup, Task
from allin1_core.reference.activation_functions import sigmoid

#: Least probability of a beat that is no downbeat, before the three are made to sum to 1.
LEAST_BEAT = 1e-8


def create(setup: Setup) -> MetricalPrep:
    """Return the stage's callable; nothing in `setup` concerns it."""
    return metrical_prep


def metrical_prep(logits: Logits, task: Task, /) -> Activations:
    """Return the probabilities of "beat that is no downbeat" and "downbeat" at each frame.

    Where the network is so sure of a downbeat that its sigmoids are 1 in float32, a row may sum to 1 or a
    rounding above; the decoder then has no probability left for "neither". That is the original's behaviour.
    """
    beat = sigmoid(logits.beat)
    downbeat = sigmoid(logits.downbeat)
    neither = ((1.0 - beat) + (1.0 - downbeat)) / 2.0
    beat_only = np.maximum(LEAST_BEAT, beat - downbeat)
    total = beat_only + downbeat + neither
    return Activations(np.stack([beat_only / total, downbeat / total], axis=-1))
