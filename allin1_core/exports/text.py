"""Plain text, one event per line: beats, segments, and label tracks for Audacity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import BinaryIO

from allin1_core.contracts.export import Song


def write_beats(songs: Sequence[Song], file: BinaryIO) -> None:
    """Write ``time TAB position in the bar`` with full precision, as beat_this does."""
    (song,) = songs
    write_lines(file, (f"{time!r}\t{place}" for time, place in beats_of(song)))


def write_madmom(songs: Sequence[Song], file: BinaryIO) -> None:
    """Write ``time TAB position in the bar`` with milliseconds, as ``madmom.io.write_beats`` does."""
    (song,) = songs
    write_lines(file, (f"{time:.3f}\t{place}" for time, place in beats_of(song)))


def write_lab(songs: Sequence[Song], file: BinaryIO) -> None:
    """Write ``start TAB end TAB label``, which ``mir_eval.io.load_labeled_intervals`` reads."""
    (song,) = songs
    segments = song.result.segments
    write_lines(file, (f"{one.start!r}\t{one.end!r}\t{one_line(one.label)}" for one in segments))


def write_audacity_beats(songs: Sequence[Song], file: BinaryIO) -> None:
    """Write a point label for each beat, with its position in the bar."""
    (song,) = songs
    write_lines(file, (f"{time:.6f}\t{time:.6f}\t{place}" for time, place in beats_of(song)))


def write_audacity_segments(songs: Sequence[Song], file: BinaryIO) -> None:
    """Write a region label for each segment."""
    (song,) = songs
    segments = song.result.segments
    write_lines(file, (f"{s.start:.6f}\t{s.end:.6f}\t{one_line(s.label)}" for s in segments))


def beats_of(song: Song) -> Iterable[tuple[float, int]]:
    """Return the time in seconds and the position in the bar of each beat."""
    result = song.result
    return zip(map(float, result.beats), result.beat_positions, strict=True)


def one_line(text: str) -> str:
    """Return `text` with each run of white space, including tabs and line breaks, replaced by a space."""
    return " ".join(text.split())


def write_lines(file: BinaryIO, lines: Iterable[str]) -> None:
    """Write `lines` in UTF-8, each followed by a line feed."""
    # Otherwise, a path that is not valid Unicode would raise an error.
    file.writelines(f"{line}\n".encode("utf-8", "replace") for line in lines)
