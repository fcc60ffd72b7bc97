"""Times of stages as JSON lines, as other packages of the family write them."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from allin1_core.contracts.result import StageRecord
from allin1_core.errors import OutputError


@dataclass(frozen=True)
class Timing:
    """When a stage of a track ran.

    Attributes
    ----------
    stage
        Its name; of a spanning backend, the names of all its stages, with ``+`` between them.
    start, end
        Seconds since 1970.
    duration
        Seconds, from a clock that is not set.
    device, model, track
        Their names.
    """

    stage: str
    start: float
    end: float
    duration: float
    device: str
    model: str
    track: str


def timing_of(record: StageRecord, *, ended: float, model: str, track: str) -> Timing:
    """Tell when what `record` tells of ran, if it ended at `ended`."""
    return Timing(
        stage="+".join(record.stages),
        start=round(ended - record.seconds, 6),
        end=round(ended, 6),
        duration=record.seconds,
        device=record.device,
        model=model,
        track=track,
    )


def append_timing(path: Path, timing: Timing) -> None:
    """Append `timing` to the file at `path` as a line; the file and its folder are made.

    The whole line is written at once to the end of the file, so that several processes can share it.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    line = json.dumps(asdict(timing))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(descriptor, f"{line}\n".encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OutputError(
            f"Timings cannot be written: {error.strerror or error}.",
            remedy="Name another file by --timings-path.",
            path=path,
        ) from error
