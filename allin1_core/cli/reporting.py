"""Output of a batch: a line for each track, errors, a summary, and a report as JSON lines."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from allin1_core.cli.printing import say, say_error, say_json, status_of_errors
from allin1_core.errors import Allin1Error, InputError, OutputError
from allin1_core.paths import Anchors
from allin1_core.text import shown

if TYPE_CHECKING:
    from allin1_core.contracts.result import AnalysisResult
    from allin1_core.runtime.batch import Outcome
    from allin1_core.runtime.track import Track

#: Keys of each line of a report.
REPORT_KEYS = ("input", "output", "status", "seconds", "error")

#: Largest batch in which each track that is up to date gets its own line.
_FEW = 10


class Reporter:
    """Reports the outcomes of a batch.

    Parameters
    ----------
    count
        Number of tracks in the batch.
    as_json
        Print one JSON object per track on stdout instead of lines for people.
    quiet
        Print errors only.
    traceback
        Print the traceback of each error.
    report
        File to write one line of JSON per track to; an earlier report is replaced, any other file is kept.
    anchors
        How the user wrote the folders; paths in them are printed in the same way.

    Raises
    ------
    OutputError
        The report cannot be written.
    SettingsError
        The report has the name of a song.
    """

    def __init__(
        self,
        count: int,
        *,
        as_json: bool = False,
        quiet: bool = False,
        traceback: bool = False,
        report: Path | None = None,
        anchors: Anchors | None = None,
    ) -> None:
        self._anchors = anchors or Anchors()
        self._count = count
        self._as_json = as_json
        self._quiet = quiet
        self._traceback = traceback
        self._path = report
        self._report: IO[str] | None = None
        self._statuses: Counter[str] = Counter()
        self._codes: set[int] = set()
        self._models_told: set[str] = set()
        self._first_of: dict[str, Track] = {}
        if report is not None:
            check_report(report)
            try:
                report.parent.mkdir(parents=True, exist_ok=True)
                self._report = report.open("w", encoding="utf-8", errors="backslashreplace")
            except OSError as error:
                raise OutputError(f"cannot be written: {error.strerror}.", path=report) from error

    @property
    def exit_status(self) -> int:
        """0 if nothing failed; the status of the failures if they are all of one kind, otherwise 1."""
        return status_of_errors(self._codes)

    def add(self, outcome: Outcome) -> None:
        """Report the outcome of a track."""
        if outcome.written is not None:
            outcome = replace(outcome, written=self._anchors.as_given(outcome.written))
        self._statuses[outcome.status] += 1
        if outcome.error is not None:
            self._name_as_given(outcome.error, outcome.track)
        self._write(outcome)
        if outcome.error is not None:
            self.add_error(outcome.error, outcome.track)
        elif outcome.result is not None:
            self._print(outcome)

    def add_input(self, error: InputError) -> None:
        """Report an argument without a song."""
        self._statuses["failed"] += 1
        self._write_line(
            {
                "input": error.path,
                "output": None,
                "status": "failed",
                "seconds": 0.0,
                "error": str(error),
            }
        )
        self._count_error(error)
        say_error(error)
        if self._as_json:
            say_json({"path": error.path, "error": str(error)})

    def add_error(self, error: Allin1Error, track: Track) -> None:
        """Report an error that concerns a track."""
        self._count_error(error)
        self._name_as_given(error, track)
        # A backend that fails in the same way for every track is explained only once.
        first = track if error.path else self._first_of.setdefault(str(error), track)
        if first is track:
            say_error(_named(error, track))
        else:
            say_error(f"{shown(track.path)}: failed as {shown(first.path)} did")
        if self._as_json:
            say_json({"path": str(track.path), "error": str(error)})

    def _name_as_given(self, error: Allin1Error, track: Track) -> None:
        if error.path is not None and error.path != str(track.source):
            error.path = self._anchors.text_as_given(error.path)

    def finish(self) -> None:
        """Print a summary of a batch, and close the report."""
        if self._report is not None:
            self._report.close()
        skipped = self._statuses["skipped"]
        if self._quiet or (self._count < 2 and not skipped):
            return
        words = {
            "done": "analysed",
            "skipped": "up to date",
            "kept": "not replaced",
            "failed": "failed",
        }
        parts = [f"{self._statuses[k]} {word}" for k, word in words.items() if self._statuses[k]]
        if self._count > 1:
            say(f"allin1: {', '.join(parts)}", err=True)
        if skipped:
            say("allin1: use --overwrite to analyse up-to-date songs again", err=True)

    def _print(self, outcome: Outcome) -> None:
        result, track = outcome.result, outcome.track
        if result is None:
            return
        if not self._quiet and outcome.status == "done":
            self._tell_model(result)
            for warning in result.warnings:
                say(f"allin1: {shown(track.name)}: {shown(warning)}", err=True)
        if self._as_json:
            from allin1_core.io.results import to_json

            written = None if outcome.written is None else str(outcome.written)
            say_json({**to_json(result), "written": written, "status": outcome.status})
        elif self._quiet:
            return
        elif outcome.status == "kept":
            say(
                f"{shown(outcome.written)}: not replaced, as it does not state its input; use --overwrite to replace it"
            )
        elif outcome.status == "skipped":
            if self._count <= _FEW:
                say(f"{shown(outcome.written)}: up to date")
        else:
            bpm = "no tempo" if result.bpm is None else f"{result.bpm} bpm"
            labels = " ".join(segment.label for segment in result.segments)
            say(
                f"{shown(outcome.written or track.name)}: {bpm}, {len(result.beats)} beats,"
                f" {len(result.downbeats)} downbeats, {len(result.segments)} segments: {labels}"
            )

    def _tell_model(self, result: AnalysisResult) -> None:
        """Print once which model was chosen automatically, and how to get the other."""
        provenance = result.provenance
        if provenance is not None and provenance.model_reason not in ("", *self._models_told):
            self._models_told.add(provenance.model_reason)
            say(f"allin1: model {provenance.model}. {provenance.model_reason}", err=True)

    def _count_error(self, error: Allin1Error) -> None:
        self._codes.add(error.exit_code)
        if self._traceback:
            import traceback

            say("".join(traceback.format_exception(error)).rstrip("\n"), err=True)

    def _write(self, outcome: Outcome) -> None:
        self._write_line(
            {
                "input": str(outcome.track.path),
                "output": None if outcome.written is None else str(outcome.written),
                "status": outcome.status,
                "seconds": outcome.seconds,
                "error": None if outcome.error is None else str(outcome.error),
            }
        )

    def _write_line(self, line: dict[str, Any]) -> None:
        if self._report is None or self._path is None:
            return
        try:
            self._report.write(json.dumps(line, allow_nan=False) + "\n")
            self._report.flush()
        except OSError as error:
            say_error(OutputError(f"cannot be written: {error.strerror}.", path=self._path))
            self._codes.add(OutputError.exit_code)
            self._report = None


def check_report(path: Path) -> None:
    """Check that a report may be written to `path`; errors are those of :class:`Reporter`."""
    from allin1_core.io.side_files import check_json_lines

    check_json_lines(path, REPORT_KEYS, "report")


def _named(error: Allin1Error, track: Track) -> str:
    """The message of the error, prefixed with the track unless it already names it."""
    text = str(error)
    source = shown(track.path)
    return text if source in text else f"{source}: {text}"
