"""A table for people, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from allin1_core.contracts.export import Song
from allin1_core.exports.text import one_line, write_lines


def write(songs: Sequence[Song], file: BinaryIO) -> None:
    """Write tempo, metre, and a row for each segment with its length in bars."""
    (song,) = songs
    write_lines(file, _lines(song))


def _lines(song: Song) -> Iterator[str]:
    result = song.result
    metre = max(result.beat_positions, default=0)
    yield f"# {_escaped(song.name)}"
    yield ""
    yield f"- Tempo: {'unknown' if result.bpm is None else f'{result.bpm} bpm'}"
    yield f"- Beats: {len(result.beats)}, downbeats: {len(result.downbeats)}" + (
        f", up to {metre} in a bar" if metre else ""
    )
    yield f"- Length: {clock(song.duration_s)}"
    yield ""
    yield "| start | end | section | bars |"
    yield "|---|---|---|---|"
    for one in result.segments:
        bars = sum(one.start <= time < one.end for time in result.downbeats)
        yield f"| {clock(one.start)} | {clock(one.end)} | {_escaped(one.label)} | {bars} |"


def clock(seconds: float) -> str:
    """Format a time as minutes, seconds and tenths, rounded once so that ``0:60`` cannot occur."""
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|" else c for c in one_line(text))
