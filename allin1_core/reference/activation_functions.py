"""The logistic function and the softmax, in the precision of their input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``1 / (1 + exp(-x))``.

    An exponential that overflows results in 0, which is the value rounded to float32.
    """
    with np.errstate(over="ignore"):
        return np.reciprocal(1.0 + np.exp(-logits))


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the softmax over the first axis."""
    values: NDArray[np.float32] = np.exp(logits - logits.max(axis=0))
    values /= values.sum(axis=0)
    return values
