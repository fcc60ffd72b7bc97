"""The stage ``functional``: section boundaries and labels, as allin1 1.1.0 finds them.

Labels are averaged in MLX; only a mean per segment of the function logits is transferred. Boundaries are computed by the
core from the row of section logits: they depend on whether float32 values are equal and on how sums are rounded, so only
exactly the same arithmetic guarantees the same frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import mlx.core as mx
import numpy as np
from allin1_core.contracts.logits import HARMONIX_LABELS, Logits
from allin1_core.contracts.sections import Sections
from allin1_core.contracts.stages import Functional, Setup, Task
from allin1_core.reference.activation_functions import sigmoid
from allin1_core.reference.functional import label_segments, segment_edges

from allin1_backend_mlx.computing import OnDevice


def create(setup: Setup) -> Functional:
    """Return the stage's callable."""
    return OnDevice(partial(functional, labels=setup.labels), setup.device)


def functional(logits: Logits, task: Task, /, labels: Sequence[str] = HARMONIX_LABELS) -> Sections:
    """Return the labelled segments of a song; one segment if there is no boundary."""
    probability = sigmoid(np.asarray(mx.contiguous(logits.section)))
    edges = segment_edges(probability)
    means = _segment_means(logits.function, edges)
    return label_segments(probability, edges, means, labels)


def _segment_means(logits: mx.array, edges: list[int]) -> np.ndarray:
    """Mean softmax of each segment, float64 ``[labels, segments]``."""
    probabilities = mx.softmax(logits, axis=0, precise=True)
    # Differences of cumulative sums, so that a thousand segments cost no more than one. They need double precision,
    # which MLX supports only on the CPU; the memory is shared.
    with mx.stream(mx.cpu):
        sums = mx.cumsum(probabilities.astype(mx.float64), axis=1)
        sums = sums[:, mx.array(edges[1:]) - 1]
        mx.eval(sums)
    return np.diff(np.asarray(sums), axis=1, prepend=0) / np.diff(edges)
