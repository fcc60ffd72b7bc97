"""Comma- and tab-separated tables with a header line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from allin1_core.contracts.export import Song
from allin1_core.exports.text import beats_of

_BEATS = ("time", "position", "downbeat")
_SEGMENTS = ("start", "end", "label")
_BOTH = ("type", "start", "end", "label", "position")


def write_csv(songs: Sequence[Song], file: BinaryIO) -> None:
    """Write beats and segments in order of time; ``type`` tells them apart."""
    _write(file, ",", _BOTH, _both(songs))


def write_csv_beats(songs: Sequence[Song], file: BinaryIO) -> None:
    """Write a row for each beat."""
    _write(file, ",", _BEATS, _beats(songs))


def write_csv_segments(songs: Sequence[Song], file: BinaryIO) -> None:
    """Write a row for each segment."""
    _write(file, ",", _SEGMENTS, _segments(songs))


def write_tsv(songs: Sequence[Song], file: BinaryIO) -> None:
    """Write the same as :func:`write_csv`, separated by tabs."""
    _write(file, "\t", _BOTH, _both(songs))


def write_tsv_beats(songs: Sequence[Song], file: BinaryIO) -> None:
    """Write the same as :func:`write_csv_beats`, separated by tabs."""
    _write(file, "\t", _BEATS, _beats(songs))


def write_tsv_segments(songs: Sequence[Song], file: BinaryIO) -> None:
    """Write the same as :func:`write_csv_segments`, separated by tabs."""
    _write(file, "\t", _SEGMENTS, _segments(songs))


def _beats(songs: Sequence[Song]) -> Iterable[tuple[object, ...]]:
    (song,) = songs
    return ((time, place, int(place == 1)) for time, place in beats_of(song))


def _segments(songs: Sequence[Song]) -> Iterable[tuple[object, ...]]:
    (song,) = songs
    return ((one.start, one.end, one.label) for one in song.result.segments)


def _both(songs: Sequence[Song]) -> Iterable[tuple[object, ...]]:
    (song,) = songs
    rows: list[tuple[float, tuple[object, ...]]] = [
        (one.start, ("segment", one.start, one.end, one.label, "")) for one in song.result.segments
    ]
    rows += [(time, ("beat", time, time, "", place)) for time, place in beats_of(song)]
    # The sort is stable: a segment comes before the beat at its start.
    return (row for _, row in sorted(rows, key=lambda row: row[0]))


def _write(
    file: BinaryIO, delimiter: str, header: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    file.write(text.getvalue().encode("utf-8", "replace"))
