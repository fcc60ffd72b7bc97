"""Activations as probabilities instead of logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from allin1_core.contracts.logits import Logits

if TYPE_CHECKING:
    from numpy.typing import NDArray


def probabilities(logits: Logits) -> dict[str, NDArray[np.float32]]:
    """Sigmoid of beat, downbeat and section, and softmax of function, with the names of allin1 1.1.0.

    Returns
    -------
    dict
        ``beat``, ``downbeat``, ``segment``: float32 ``[T]``; ``label``: float32 ``[labels, T]``.
    """
    function = logits.function - logits.function.max(axis=0)
    exponentials = np.exp(function)
    return {
        "beat": _sigmoid(logits.beat),
        "downbeat": _sigmoid(logits.downbeat),
        "segment": _sigmoid(logits.section),
        "label": exponentials / exponentials.sum(axis=0),
    }


def _sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    # tanh saturates where exp would overflow.
    half = np.float32(0.5)
    result: NDArray[np.float32] = half + half * np.tanh(half * x)
    return result
