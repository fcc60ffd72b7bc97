"""Times of stages as lines of JSON, in the form of other packages of the all-in-one family."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from allin1_core.contracts.result import StageRecord
from allin1_core.errors import OutputError
from allin1_core.io.side_files import check_json_lines


@dataclass(frozen=True)
class Timing:
    """When a stage of a track ran.

    Attributes
    ----------
    stage
        Name of the stage; for a backend that spans stages, all their names, joined by ``+``.
    start, end
        Seconds since 1970.
    duration
        Seconds, from a monotonic clock.
    device, model, track
        Names of the device, the model and the track.
    """

    stage: str
    start: float
    end: float
    duration: float
    device: str
    model: str
    track: str


def check_timings(path: Path) -> None:
    """Check that timings may be appended to `path`.

    Raises
    ------
    SettingsError
        It has a suffix of audio.
    OutputError
        It exists, and contains something else.
    """
    check_json_lines(path, [field.name for field in fields(Timing)], "file of timings")


def timing_of(record: StageRecord, *, ended: float, model: str, track: str) -> Timing:
    """Create the timing of the stage in `record`, which ended at `ended`, in seconds since 1970."""
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
    """Append `timing` to the file at `path` as a line; the file and its folder are created if missing.

    The line is written in a single operation, so that several processes can share the file.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    line = json.dumps(asdict(timing), allow_nan=False)
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
            remedy="Name another file with --timings-path.",
            path=path,
        ) from error
