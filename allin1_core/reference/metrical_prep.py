"""The decoder's activations in NumPy.

The network outputs one probability for "beat" (including downbeats) and one for "downbeat"; the decoder needs "beat
that is not a downbeat", "downbeat" and "neither" to be mutually exclusive. This is the conversion of allin1 1.1.0, in
float32.
"""

from __future__ import annotations

import numpy as np

from allin1_core.contracts.logits import Activations, Logits
from allin1_core.contracts.stages import MetricalPrep, Setup, Task
from allin1_core.reference.activation_functions import sigmoid

#: Minimum probability of a beat that is not a downbeat, before the three are normalised.
LEAST_BEAT = 1e-8


def create(setup: Setup) -> MetricalPrep:
    """Return the stage's callable; `setup` is not used."""
    return metrical_prep


def metrical_prep(logits: Logits, task: Task, /) -> Activations:
    """Return the probabilities of "beat that is not a downbeat" and "downbeat" at each frame.

    If the network is so certain of a downbeat that its sigmoids are 1 in float32, a row may sum to 1 or, because of
    rounding, slightly more; the decoder then has no probability left for "neither". The original behaves in the same
    way.
    """
    beat = sigmoid(logits.beat)
    downbeat = sigmoid(logits.downbeat)
    neither = ((1.0 - beat) + (1.0 - downbeat)) / 2.0
    beat_only = np.maximum(LEAST_BEAT, beat - downbeat)
    total = beat_only + downbeat + neither
    return Activations(np.stack([beat_only / total, downbeat / total], axis=-1))
