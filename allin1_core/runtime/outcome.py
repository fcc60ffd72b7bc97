"""The outcome of a track of a batch."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from allin1_core.contracts.result import AnalysisResult
from allin1_core.errors import (
    Allin1Error,
    BackendError,
    WeightsError,
    in_full,
    is_out_of_memory,
)
from allin1_core.runtime.track import Track

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a track.

    Attributes
    ----------
    track
        The track.
    result, error
        The result, or the error that prevented it; both if only a picture or sound could not be created.
    written
        Path of the result's JSON file, if one was written or existed before.
    status
        ``done``; ``skipped``: the result of an earlier run is up to date, and is returned without its arrays; ``kept``:
        a result without a record of its input exists, and was not replaced; ``failed``.
    seconds
        Time spent on this track: downloading, reading, analysing, and writing the result, without the time it waited for
        other tracks. Steps of two tracks may run at the same time, and slow each other down.
    """

    track: Track
    result: AnalysisResult | None = None
    error: Allin1Error | None = None
    written: Path | None = None
    status: Literal["done", "skipped", "kept", "failed"] = "done"
    seconds: float = 0.0


def failed_outcome(track: Track, error: Exception) -> Outcome:
    """Create the outcome of a track that failed, or raise the error if it ends the batch."""
    if isinstance(error, WeightsError):
        # Without weights, no track can be analysed: report this once, not for every track.
        raise error
    if isinstance(error, Allin1Error):
        return Outcome(track, error=error, status="failed")
    # A bug in this or another package, or lack of memory: only this track is affected.
    log.debug("unexpected error on %s", track.path, exc_info=error)
    wrapped = (
        BackendError(
            "There is not enough memory for this track.",
            path=track.path,
            remedy="Close other programs, or analyse it on a machine with more memory.",
        )
        if is_out_of_memory(error)
        else BackendError(
            f"unexpected {in_full(error)}",
            path=track.path,
            remedy="Report it with its traceback (on the command line, run again with --traceback).",
        )
    )
    wrapped.__cause__ = error
    return Outcome(track, error=wrapped, status="failed")
