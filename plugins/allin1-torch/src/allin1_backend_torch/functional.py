"""The stage ``functional``: section boundaries and labels, as allin1 1.1.0 finds them.

Labels are averaged on the device of the function logits, and only a mean per segment is transferred. Boundaries are
computed by the core from the row of section logits: they depend on whether float32 values are equal and on how sums are
rounded, so only exactly the same arithmetic guarantees the same frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from allin1_core.contracts.logits import HARMONIX_LABELS, Logits
from allin1_core.contracts.sections import Sections
from allin1_core.contracts.stages import Functional, Setup, Task
from allin1_core.reference.activation_functions import sigmoid
from allin1_core.reference.functional import label_segments, segment_edges
from torch import Tensor


def create(setup: Setup) -> Functional:
    """Return the stage's callable, which runs on the device of its input."""
    return partial(functional, labels=setup.labels)


def functional(logits: Logits, task: Task, /, labels: Sequence[str] = HARMONIX_LABELS) -> Sections:
    """Return the labelled segments of a song; one segment if there is no boundary."""
    probability = sigmoid(logits.section.detach().cpu().numpy())
    edges = segment_edges(probability)
    means = _segment_means(logits.function, edges).numpy()
    return label_segments(probability, edges, means, labels)


def _segment_means(logits: Tensor, edges: list[int]) -> Tensor:
    """Mean softmax of each segment, float64 ``[labels, segments]``, in main memory."""
    with torch.no_grad():
        probabilities = logits.softmax(0)
        if probabilities.device.type == "mps":  # which has no double precision
            probabilities = probabilities.cpu()
        # Differences of cumulative sums, so that a thousand segments cost no more than one.
        sums = probabilities.cumsum(1, dtype=torch.float64)
        last = torch.tensor(edges[1:], device="cpu") - 1
        sums = sums.index_select(1, last.to(sums.device)).cpu()
        # The rest is a few numbers per segment. Loading each kind of operation would take a GPU milliseconds.
        before = sums.new_zeros(len(sums), 1)
        return sums.diff(dim=1, prepend=before) / torch.tensor(edges, device="cpu").diff()
