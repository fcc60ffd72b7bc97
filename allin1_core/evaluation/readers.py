"""Readers of annotations: JAMS, ``.beats``, tables of text, ``.lab``, Harmonix' sections and results."""

from __future__ import annotations

import csv
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from allin1_core.contracts.sections import Segment
from allin1_core.errors import InputError
from allin1_core.evaluation.reference import Reference
from allin1_core.io import documents

#: Suffixes of files that are read from a folder. A JSON file may contain anything, so it is read only if it is named.
SUFFIXES = (".jams", ".beats", ".lab", ".txt", ".csv", ".tsv")


def read_reference(path: Path | str) -> Reference:
    """Read the annotations in a file, or in all files whose names differ only in their suffix.

    ========== ==============================================================================
    JAMS       namespaces ``beat``, ``beat_position``, ``segment_*`` and ``multi_segment`` (its
               coarsest level)
    ``.beats`` a time and, if known, the position in the bar
    ``.lab``   start, end, label
    JSON       ``beats``, ``downbeats`` and ``segments``, as in results: the truth written by
               ``allin1 demo``, or a corrected result
    text, CSV, times, optionally with the position in the bar, are beats; a time and a label
    TSV        start a section, as in Harmonix (a label ``end`` ends the last one); start, end
               and label are a section, or a beat if start and end are equal (Audacity). All
               tables that ``allin1 export`` writes can be read
    ========== ==============================================================================

    Parameters
    ----------
    path
        A file; or a path without suffix, such as ``song`` for ``song.beats`` and ``song.lab``.

    Returns
    -------
    Reference
        The annotations.

    Raises
    ------
    InputError
        There is no such file, or it is invalid.
    """
    path = Path(path)
    if path.is_file():
        return _read(path)
    found = [p for s in SUFFIXES if (p := path.with_name(path.name + s)).is_file()]
    if not found:
        raise InputError(
            "There are no annotations.",
            path=path,
            remedy=f"Give a file that ends in one of {', '.join(SUFFIXES)}.",
        )
    return read_references(found)


def read_references(paths: Iterable[Path]) -> Reference:
    """Read several files about one song; for annotations of the same kind, the first file counts.

    Raises
    ------
    InputError
        A file is invalid.
    """
    reference = Reference()
    for path in paths:
        reference = reference.merged(_read(path))
    return reference


def _read(path: Path) -> Reference:
    try:
        if path.suffix.lower() == ".json":
            return _from_result(documents.read_json(path))
        text = path.read_text(encoding="utf-8-sig")
        reference = _from_jams(text) if path.suffix.lower() == ".jams" else from_table(text)
        if reference.is_empty:
            raise ValueError("it contains neither beats nor sections")
        if not reference.is_finite:
            raise ValueError("it contains times that are not finite numbers")
        return reference
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"The annotations cannot be read: {reason}.", path=path) from error
    except RecursionError as error:
        raise InputError("The annotations cannot be read: nested too deeply.", path=path) from error
    except (ValueError, csv.Error) as error:
        raise InputError(f"The annotations cannot be read: {error}.", path=path) from error


def _from_result(content: Any) -> Reference:
    parts = {
        name: part
        for name, part in documents.table(content, "the content").items()
        if name in ("beats", "downbeats", "segments") and part
    }
    if not parts:
        raise ValueError("it has neither beats, downbeats nor segments")
    beats, downbeats = (
        np.array(documents.items(parts[name], name, documents.number)) if name in parts else None
        for name in ("beats", "downbeats")
    )
    for times in (beats, downbeats):
        if times is not None and (np.diff(times) <= 0).any():
            raise ValueError("beats do not rise")
    if "segments" not in parts:
        return Reference(beats, downbeats)
    return Reference(
        beats, downbeats, _ordered(documents.read_as(list[Segment], parts["segments"], "segments"))
    )


def from_table(text: str) -> Reference:
    """Read rows of beats or of sections, separated by tabs, commas, semicolons or spaces.

    Raises
    ------
    ValueError
        A row is invalid.
    """
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if line and not line.startswith("#"):
            rows.append((number, _cells(line)))
    if rows and _number(rows[0][1][0]) is None:
        if not rows[1:]:
            _time(
                rows[0][1][0], rows[0][0]
            )  # raises: there is nothing but a header, or no table at all
        header, rows = [cell.lower() for cell in rows[0][1]], rows[1:]
        if {"type", "start", "end"} <= set(header):
            return _both(header, rows)
        if {"time", "position"} <= set(header):
            columns = header.index("time"), header.index("position")
            rows = [(line, [cells[c] for c in columns]) for line, cells in rows]
    if not rows:
        return Reference()
    first = rows[0][1]
    if len(first) >= 3 and all(cells[0] == cells[1] for _, cells in rows):
        return _beats([(line, [cells[0], cells[2]]) for line, cells in rows])
    if len(first) == 1 or (len(first) == 2 and _number(first[1]) is not None):
        return _beats(rows)
    return _sections(rows)


def _cells(line: str) -> list[str]:
    for separator in ("\t", ",", ";"):
        if separator in line:
            return [c.strip() for c in next(csv.reader([line], delimiter=separator))]
    # Labels may contain spaces; times do not.
    match = re.match(r"(\S+)(?:\s+([-+\d.eE]+))?(?:\s+(.*))?$", line)
    return [c.strip() for c in match.groups() if c] if match else [line]


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _time(cell: str, line: int) -> float:
    value = _number(cell)
    if value is None:
        raise ValueError(f"line {line} has {cell!r} instead of a time in seconds")
    return value


def _both(header: list[str], rows: Sequence[tuple[int, list[str]]]) -> Reference:
    """Read a table of beats and sections with a column ``type``."""
    # Empty cells at the end of a line may be missing.
    rows = [(line, [*cells, *[""] * (len(header) - len(cells))]) for line, cells in rows]
    reference = Reference()
    for kind, names, read in (
        ("beat", ("start", "position"), _beats),
        ("segment", ("start", "end", "label"), _sections),
    ):
        columns = [header.index(name) for name in names if name in header]
        chosen = [
            (line, [cells[c] for c in columns])
            for line, cells in rows
            if cells[header.index("type")] == kind
        ]
        if chosen:
            reference = reference.merged(read(chosen))
    return reference


def _beats(rows: Sequence[tuple[int, list[str]]]) -> Reference:
    times = np.array([_time(cells[0], line) for line, cells in rows])
    if (np.diff(times) <= 0).any():
        raise ValueError("the times of the beats do not increase")
    if any(len(cells) < 2 for _, cells in rows):
        return Reference(beats=times)
    # Positions may be written as bar.beat.
    places = [
        cells[1].rpartition(".")[2] if cells[1].count(".") == 1 else cells[1] for _, cells in rows
    ]
    if all(_is_whole(cells[1]) for _, cells in rows):
        places = [str(round(float(cells[1]))) for _, cells in rows]
    return Reference(beats=times, downbeats=times[[p == "1" for p in places]])


def _is_whole(cell: str) -> bool:
    value = _number(cell)
    return value is not None and value == round(value)


def _sections(rows: Sequence[tuple[int, list[str]]]) -> Reference:
    if len(rows[0][1]) >= 3:
        parts = [
            Segment(_time(cells[0], line), _time(cells[1], line), " ".join(cells[2:]))
            for line, cells in rows
            if _enough(cells, 3, line)
        ]
        return Reference(segments=_ordered(parts))
    starts = [(_time(cells[0], line), cells[1]) for line, cells in rows if _enough(cells, 2, line)]
    parts = [Segment(start, end, label) for (start, label), (end, _) in itertools.pairwise(starts)]
    if starts[-1][1] != "end":
        raise ValueError(
            'the last section has no end: a final line with the label "end" is required'
        )
    return Reference(segments=_ordered(parts))


def _enough(cells: list[str], count: int, line: int) -> bool:
    if len(cells) < count:
        raise ValueError(f"line {line} has {len(cells)} columns instead of {count}")
    return True


def _ordered(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    ordered = tuple(s for s in sorted(segments, key=lambda s: s.start) if s.end > s.start)
    if not ordered:
        raise ValueError("all sections have zero length")
    return ordered


def _from_jams(text: str) -> Reference:
    content = json.loads(text)
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise ValueError('it is not JAMS: there are no "annotations"')
    readers: tuple[
        tuple[Callable[[str], bool], Callable[[list[dict[str, Any]]], Reference]], ...
    ] = (
        (lambda space: space == "beat_position", _jams_positions),
        (lambda space: space == "beat", _jams_beats),
        (lambda space: space.startswith("segment"), _jams_segments),
        (lambda space: space == "multi_segment", _jams_levels),
    )
    reference = Reference()
    try:
        for wanted, reader in readers:
            for annotation in content["annotations"]:
                if wanted(str(annotation.get("namespace", ""))) and annotation.get("data"):
                    reference = reference.merged(reader(_observations(annotation["data"])))
    except KeyError as error:
        raise ValueError(f"an observation lacks {error}") from error
    except (TypeError, AttributeError) as error:
        raise ValueError(f"an observation has another form than in JAMS ({error})") from error
    return reference


def _observations(data: Any) -> list[dict[str, Any]]:
    """Observations in time order; sparse data is a list, dense data a table of columns."""
    if isinstance(data, dict):
        names = list(data)
        data = [dict(zip(names, row, strict=True)) for row in zip(*data.values(), strict=True)]
    return sorted(data, key=lambda o: float(o["time"]))


def _jams_positions(data: list[dict[str, Any]]) -> Reference:
    times = np.array([float(o["time"]) for o in data])
    return Reference(times, times[[int(o["value"]["position"]) == 1 for o in data]])


def _jams_beats(data: list[dict[str, Any]]) -> Reference:
    times = np.array([float(o["time"]) for o in data])
    places = [o.get("value") for o in data]
    if any(p is None for p in places) or 1 not in places:
        return Reference(times)
    return Reference(times, times[[p == 1 for p in places]])


def _jams_segments(data: list[dict[str, Any]]) -> Reference:
    return Reference(
        segments=_ordered(
            Segment(
                float(o["time"]),
                float(o["time"]) + float(o["duration"]),
                str(o["value"]["label"] if isinstance(o["value"], dict) else o["value"]),
            )
            for o in data
        )
    )


def _jams_levels(data: list[dict[str, Any]]) -> Reference:
    coarsest = min(o["value"]["level"] for o in data)
    return _jams_segments([o for o in data if o["value"]["level"] == coarsest])
