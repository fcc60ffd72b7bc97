"""REAPER projects: the song, a tempo map, and markers and regions for the segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from allin1_core.contracts.export import Song
from allin1_core.exports.grid import TOLERANCE_S, anchors_of, metre_at
from allin1_core.exports.text import one_line, write_lines

_QUARTER = 4 << 16  # the denominator of a time signature
_SQUARE = 1


def write(songs: Sequence[Song], file: BinaryIO) -> None:
    """Write a project with the song as an item, the tempo map, and markers and regions for the segments."""
    (song,) = songs
    write_lines(file, _lines(song))


def _lines(song: Song) -> Iterator[str]:
    anchors = anchors_of(song, tolerance_s=TOLERANCE_S, decimals=10)
    yield '<REAPER_PROJECT 0.1 "7.0" 0'
    if anchors:
        metre = metre_at(song, anchors[0].beat)
        yield f"  TEMPO {anchors[0].bpm:.10f} {metre} 4"
        yield "  <TEMPOENVEX"
        yield "    ACT 1 -1"
        yield "    VIS 1 0 1"
        yield "    DEFSHAPE 1 -1 -1"
        start = anchors[0].time_s
        if start > 0:
            # One beat that lasts until the first downbeat, so that a bar begins there.
            yield f"    PT 0 {60 / start:.10f} {_SQUARE} {_QUARTER + 1} 0 1"
        for anchor in anchors:
            signature = _QUARTER + metre_at(song, anchor.beat) if anchor.position == 1 else 0
            flags = 1 if anchor.position == 1 else 0
            yield f"    PT {max(0.0, anchor.time_s):.10f} {anchor.bpm:.10f} {_SQUARE} {signature} 0 {flags}"
        yield "  >"
    for number, one in enumerate(song.result.segments, 1):
        yield f"  MARKER {number} {max(0.0, one.start):.6f} {_quoted(one.label)} 0"
    for number, one in enumerate(song.result.segments, 1):
        yield f"  MARKER {number} {max(0.0, one.start):.6f} {_quoted(one.label)} 1"
        yield f'  MARKER {number} {max(0.0, one.end):.6f} "" 1'
    yield "  <TRACK"
    yield f"    NAME {_quoted(song.name)}"
    yield "    <ITEM"
    yield "      POSITION 0"
    yield f"      LENGTH {song.duration_s:.6f}"
    yield f"      <SOURCE {_KINDS.get(song.source.suffix.lower(), 'WAVE')}"
    yield f"        FILE {_quoted(str(song.source))}"
    yield "      >"
    yield "    >"
    yield "  >"
    yield ">"


_KINDS = {".mp3": "MP3", ".flac": "FLAC", ".ogg": "VORBIS", ".opus": "VORBIS"}


def _quoted(text: str) -> str:
    """Quote `text` with the first quotation mark that does not occur in it."""
    text = one_line(text)
    mark = next((mark for mark in "\"'`" if mark not in text), "`")
    return f"{mark}{text.replace('`', chr(39)) if mark == '`' else text}{mark}"
