"""Whether the parts of a result agree with each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from allin1_core.contracts.result import AnalysisResult


def find_inconsistency(result: AnalysisResult) -> str | None:
    """Describe the first part of `result` that contradicts another, as a clause; None if there is none.

    Exporters and pictures rely on this. A result that holds beats or sections alone is consistent, and so is every result
    of allin1 1.1.0.

    >>> from dataclasses import replace
    >>> from allin1_core.testing.results import example_result
    >>> find_inconsistency(example_result())
    >>> find_inconsistency(replace(example_result(), beat_positions=[1, 2]))
    '60 beats and 2 positions'
    """
    beats, positions = result.beats, result.beat_positions
    if len(beats) != len(positions):
        return f"{len(beats)} beats and {len(positions)} positions"
    if result.confidence is not None and len(result.confidence.beats) not in (0, len(beats)):
        return f"{len(result.confidence.beats)} confidences of {len(beats)} beats"
    if result.bpm is not None and result.bpm < 1:
        return f"a tempo of {result.bpm} bpm"
    for name, times in (("beats", beats), ("downbeats", result.downbeats)):
        if not _ascends(times):
            return f"{name} that are not ascending times"
    if any(position < 1 for position in positions):
        return f"a beat at position {min(positions)} of its bar; the first is 1"
    if strays := set(result.downbeats) - set(beats):
        return f"a downbeat at {min(strays):g} s, where there is no beat"
    for one in result.segments:
        if not 0 <= one.start < one.end:
            return f"a segment from {one.start:g} s to {one.end:g} s; segments do not all end after they start"
    if not _ascends([one.start for one in result.segments]):
        return "segments that are not sorted by time"
    return None


def _ascends(times: Sequence[float]) -> bool:
    return all(one < two for one, two in zip((-math.inf, *times), times, strict=False))
