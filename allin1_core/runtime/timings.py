"""Times of stages as JSON lines, as other packages of the family write them."""

from __future__ import annotations

import json
import os
from pathlib import Path

from allin1_core.contracts.result import StageRecord
from allin1_core.errors import OutputError


def append_timing(path: Path, record: StageRecord, *, ended: float, model: str, track: str) -> None:
    """Append a line with ``stage``, ``start``, ``end``, ``duration``, ``device``, ``model`` and ``track``.

    The whole line is written at once to the end of the file, so that several processes can share it.

    Parameters
    ----------
    path
        The file; it and its folder are made.
    record
        What ran, and for how long.
    ended
        When, in seconds since 1970.
    model, track
        Their names.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    line = json.dumps(
        {
            "stage": "+".join(record.stages),
            "start": round(ended - record.seconds, 6),
            "end": round(ended, 6),
            "duration": record.seconds,
            "device": record.device,
            "model": model,
            "track": track,
        }
    )
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
