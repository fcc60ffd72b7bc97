"""Agreement of beats, downbeats and sections with a reference, computed with mir_eval."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from allin1_core.contracts.sections import Segment
from allin1_core.errors import InputError, PluginError
from allin1_core.evaluation.reference import Reference
from allin1_core.installing import install_command

#: Scores by name, from 0 to 1; those that need missing annotations are absent.
Scores = dict[str, float]

#: Titles of the scores in tables, in the order of the columns.
MEASURES = {
    "beat_f": "beats, F",
    "beat_cmlt": "beats, CMLt",
    "beat_amlt": "beats, AMLt",
    "downbeat_f": "downbeats, F",
    "boundary_hr_05": "boundaries, HR.5F",
    "boundary_hr_3": "boundaries, HR3F",
    "pairwise_f": "sections, pairwise F",
    "label_accuracy": "labels, accuracy",
}


def score(
    reference: Reference,
    beats: ArrayLike | None = None,
    downbeats: ArrayLike | None = None,
    segments: Sequence[Segment] | None = None,
) -> Scores:
    """Score the result of a song.

    Parameters
    ----------
    reference
        Annotations of the song.
    beats, downbeats
        Times in seconds, increasing; None to leave them out.
    segments
        Sections in time order; None to leave them out.

    Returns
    -------
    Scores
        ``beat_f`` and ``downbeat_f`` (F within 70 ms), ``beat_cmlt`` and ``beat_amlt`` (total length of
        correct parts, at the annotated tempo or also at half and double tempo and off-beat),
        ``boundary_hr_05`` and ``boundary_hr_3`` (F within 0.5 and 3 seconds), ``pairwise_f`` (F of pairs
        of frames that have the same label, whatever its name), ``label_accuracy`` (part of the annotated
        time that has the same label, see :func:`plain_label`). A score that is not defined, for example
        because the song is too short, is absent.

    Raises
    ------
    PluginError
        mir_eval is not installed.
    InputError
        mir_eval refuses the times, for example because they exceed eight hours.
    """
    found: Scores = {}
    if reference.beats is not None and beats is not None:
        found |= beat_scores(reference.beats, np.asarray(beats, np.float64))
    if reference.downbeats is not None and downbeats is not None:
        with _mir_eval() as m:
            found["downbeat_f"] = _f(m, reference.downbeats, np.asarray(downbeats, np.float64))
    if reference.segments and segments:
        found |= segment_scores(reference.segments, segments)
    # mir_eval gives NaN where a measure is not defined, such as of pairs of frames in a song of a single frame.
    return {name: value for name, value in found.items() if math.isfinite(value)}


def beat_scores(reference: NDArray[np.float64], beats: NDArray[np.float64]) -> Scores:
    """F-measure and continuity of beats in seconds; unlike in mir_eval, the first five seconds count, too."""
    with _mir_eval() as m:
        cmlt, amlt = (
            m.beat.continuity(reference, beats)[1::2]
            if min(len(reference), len(beats)) > 1
            else (0, 0)
        )
        return {
            "beat_f": _f(m, reference, beats),
            "beat_cmlt": float(cmlt),
            "beat_amlt": float(amlt),
        }


def segment_scores(reference: Sequence[Segment], segments: Sequence[Segment]) -> Scores:
    """Scores of boundaries and labels of sections."""
    with _mir_eval() as m:
        theirs, their_labels = _adjusted(m, reference, None)
        mine, my_labels = _adjusted(m, segments, float(theirs.max()))
        return {
            "boundary_hr_05": float(m.segment.detection(theirs, mine, window=0.5)[2]),
            "boundary_hr_3": float(m.segment.detection(theirs, mine, window=3.0)[2]),
            "pairwise_f": float(m.segment.pairwise(theirs, their_labels, mine, my_labels)[2]),
            "label_accuracy": label_accuracy(reference, segments),
        }


def label_accuracy(reference: Sequence[Segment], segments: Sequence[Segment]) -> float:
    """Fraction of the annotated time in which both have the same label."""
    same = sum(
        max(0.0, min(a.end, b.end) - max(a.start, b.start))
        for a in reference
        for b in segments
        if plain_label(a.label) == plain_label(b.label)
    )
    return same / sum(a.end - a.start for a in reference)


def plain_label(label: str) -> str:
    """Normalise a label: lower case, without a number at its end.

    >>> plain_label("Verse 2")
    'verse'
    """
    return label.strip().lower().rstrip(" 0123456789_-") or label.strip()


def _f(m: Any, reference: NDArray[np.float64], times: NDArray[np.float64]) -> float:
    return float(m.beat.f_measure(reference, times)) if len(reference) and len(times) else 0.0


def _adjusted(
    m: Any, segments: Sequence[Segment], end: float | None
) -> tuple[NDArray[np.float64], list[str]]:
    """Intervals from 0 on, and up to `end` unless it is None."""
    intervals = np.array([(s.start, s.end) for s in segments])
    labels = [plain_label(s.label) for s in segments]
    intervals, labels = m.util.adjust_intervals(intervals, labels, t_min=0.0, t_max=end)
    return intervals, labels


@contextmanager
def _mir_eval() -> Iterator[Any]:
    """Import mir_eval, and suppress its warnings, for example about missing beats, which the scores show.

    Raises
    ------
    PluginError
        It is not installed.
    InputError
        It refuses the times in the block, for example because they exceed eight hours.
    """
    try:
        import mir_eval
    except ImportError as error:
        raise PluginError(
            "Scoring needs the library mir_eval.",
            remedy=f"Install it: {install_command('allin1-core', 'evaluate')}",
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield mir_eval
        except ValueError as error:
            raise InputError(f"mir_eval cannot score it: {error}") from error
