"""Results that are there before a batch analyses their tracks: of an earlier run, or of another process."""

from __future__ import annotations

from pathlib import Path

from allin1_core.errors import OutputError
from allin1_core.io.results import load_result
from allin1_core.runtime.analysis import Analysis, ResultOptions
from allin1_core.runtime.identity import Earlier, find_earlier, refuse_other
from allin1_core.runtime.outcome import Outcome


def done_before(analysis: Analysis, json_path: Path, options: ResultOptions) -> Outcome | None:
    """Outcome of a track for which an earlier run left a result; None if it must be analysed.

    If parts of the earlier result are to be kept, it is passed to `analysis`.
    """
    if not json_path.exists():
        return None
    try:
        earlier = _find_earlier(analysis, json_path, options)
    except OutputError:
        return None  # check_destination decides whether it may be replaced
    refuse_other(json_path, earlier)
    if earlier.state == "current" and not analysis.lacks_kept_stems():
        return Outcome(analysis.track, earlier.result, written=json_path, status="skipped")
    if earlier.state == "foreign":
        return Outcome(analysis.track, earlier.result, written=json_path, status="kept")
    if earlier.state in ("current", "incomplete"):
        analysis.add_to(load_result(json_path))
    return None


def up_to_date(analysis: Analysis, json_path: Path, options: ResultOptions) -> Outcome | None:
    """Outcome of a track whose result another process has written in the meantime; None if it is not up to date."""
    try:
        earlier = _find_earlier(analysis, json_path, options)
    except OutputError:
        return None
    if earlier.state != "current":
        return None
    return Outcome(analysis.track, earlier.result, written=json_path, status="skipped")


def _find_earlier(analysis: Analysis, json_path: Path, options: ResultOptions) -> Earlier:
    return find_earlier(
        json_path,
        analysis.identities,
        analysis.outputs,
        activations=options.get("include_activations", False),
        embeddings=options.get("include_embeddings", False),
    )


def state_of(path: Path) -> tuple[int, int] | None:
    """A value that changes whenever the file is replaced; None if it does not exist."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: a NUL character in the name
        return None
    return found.st_ino, found.st_mtime_ns
