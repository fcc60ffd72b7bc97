"""Section boundaries and labels in NumPy.

Reproduces the post-processing of allin1 1.1.0, which follows Ullrich, Schlüter and Grill, *Boundary Detection in Music
Structure Analysis Using Convolutional Neural Networks*, ISMIR 2014: boundaries are peaks of the section probability
that stand out from their surroundings. The probability remains in float32, as in the original, because the result
depends on equality with the maximum of a window.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from allin1_core.contracts.audio import SAMPLE_RATE
from allin1_core.contracts.logits import HARMONIX_LABELS, Logits
from allin1_core.contracts.sections import Sections, Segment
from allin1_core.contracts.spectrogram import FRAMES_PER_SECOND, HOP_SAMPLES
from allin1_core.contracts.stages import Functional, Setup, Task
from allin1_core.reference.activation_functions import sigmoid, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Number of frames on either side within which only the highest probability is kept.
NEIGHBOUR_FRAMES = 48

#: Number of frames on either side from which a boundary must stand out: 12 s.
SURROUNDING_FRAMES = 12 * FRAMES_PER_SECOND

#: Number of candidates whose surroundings are averaged at a time, 5 MB on each side.
CANDIDATES_AT_ONCE = 1024


def create(setup: Setup) -> Functional:
    """Return the stage's callable, for the labels in `setup`."""
    return partial(functional, labels=setup.labels)


def functional(logits: Logits, task: Task, /, labels: Sequence[str] = HARMONIX_LABELS) -> Sections:
    """Return the labelled segments of a song; one segment if there is no boundary."""
    probability = sigmoid(logits.section)
    edges = segment_edges(probability)
    probabilities = softmax(logits.function)
    means = [probabilities[:, a:b].mean(axis=1) for a, b in itertools.pairwise(edges)]
    return label_segments(probability, edges, np.stack(means, axis=1), labels)


def segment_edges(probability: NDArray[np.float32]) -> list[int]:
    """Return the frames where segments begin, followed by the total number of frames.

    Parameters
    ----------
    probability
        float32 ``[T]``: probability of a boundary at each frame.
    """
    inner = (int(frame) for frame in boundary_frames(probability) if frame > 0)
    return [0, *inner, len(probability)]


def label_segments(
    probability: NDArray[np.float32],
    edges: Sequence[int],
    means: NDArray[np.floating],
    labels: Sequence[str] = HARMONIX_LABELS,
) -> Sections:
    """Label each segment by the highest of its mean probabilities.

    Parameters
    ----------
    probability
        float32 ``[T]``: probability of a boundary at each frame.
    edges
        As returned by :func:`segment_edges`.
    means
        ``[labels, segments]``, mean probability of each label over each segment.
    labels
        Labels of the model, as in ``Setup.labels``.
    """
    spans = itertools.pairwise(edges)
    winners = means.argmax(axis=0).tolist()
    return Sections(
        tuple(
            Segment(_seconds(start), _seconds(stop), labels[label])
            for (start, stop), label in zip(spans, winners, strict=True)
        ),
        boundary_strengths=tuple(float(probability[frame]) for frame in edges[1:-1]),
        label_probabilities=tuple(tuple(map(float, column)) for column in means.T),
    )


def boundary_frames(probability: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the frames of the boundaries.

    Parameters
    ----------
    probability
        float32 ``[T]``: probability of a boundary at each frame.

    Returns
    -------
    ndarray
        int64, increasing. Frame 0 is included only if it is a peak itself.
    """
    peaks = np.where(
        probability == _running_maximum(probability, NEIGHBOUR_FRAMES, -np.inf), probability, 0
    )
    highest = _running_maximum(peaks, SURROUNDING_FRAMES, 0)
    candidates = np.flatnonzero((peaks == highest) & (peaks > 0))

    padded = np.pad(peaks, SURROUNDING_FRAMES)
    windows = sliding_window_view(padded, SURROUNDING_FRAMES)
    stands_out = np.empty(len(candidates), bool)
    # In parts, because on a plateau (all frames equal, as for constant input) every frame is a candidate.
    for first in range(0, len(candidates), CANDIDATES_AT_ONCE):
        part = slice(first, first + CANDIDATES_AT_ONCE)
        frames = candidates[part]
        before = windows[frames].mean(axis=-1)
        after = windows[frames + SURROUNDING_FRAMES + 1].mean(axis=-1)
        stands_out[part] = peaks[frames] - (before + after) / 2 > 0
    return candidates[stands_out]


def _running_maximum(
    values: NDArray[np.float32], reach: int, outside: float
) -> NDArray[np.float32]:
    """Maximum over `reach` frames on either side, computed by doubling in O(T·log reach)."""
    window = 2 * reach + 1
    maxima = np.pad(values, reach, constant_values=outside)
    width = 1
    while 2 * width <= window:
        maxima = np.maximum(maxima[:-width], maxima[width:])
        width *= 2
    # Two overlapping windows of `width` cover the whole.
    rest = window - width
    return np.maximum(maxima[: len(values)], maxima[rest : rest + len(values)])


def _seconds(frame: int) -> float:
    return frame * HOP_SAMPLES / SAMPLE_RATE
