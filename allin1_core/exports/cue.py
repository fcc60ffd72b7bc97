"""Cue sheets: a track for each segment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from allin1_core.contracts.export import Song
from allin1_core.errors import OutputError
from allin1_core.exports.text import one_line, write_lines

#: Cue sheets count in frames of 1/75 s, and number tracks with two digits.
_FRAMES_PER_SECOND = 75
_MOST_TRACKS = 99

_KINDS = {".mp3": "MP3", ".aif": "AIFF", ".aiff": "AIFF"}


def write(songs: Sequence[Song], file: BinaryIO) -> None:
    """Write the start of each segment, rounded to 1/75 s."""
    (song,) = songs
    if len(song.result.segments) > _MOST_TRACKS:
        raise OutputError(
            f"{song.name} has {len(song.result.segments)} segments; a cue sheet can hold {_MOST_TRACKS}.",
            remedy="Choose another format.",
        )
    write_lines(file, _lines(song))


def _lines(song: Song) -> Iterator[str]:
    kind = _KINDS.get(song.source.suffix.lower(), "WAVE")
    yield f'FILE "{_quoted(song.source.name)}" {kind}'
    for number, one in enumerate(song.result.segments, 1):
        # Rounded before it is split, so that no field reaches 75 or 60.
        frames = max(0, round(one.start * _FRAMES_PER_SECOND))
        seconds, rest = divmod(frames, _FRAMES_PER_SECOND)
        yield f"  TRACK {number:02d} AUDIO"
        yield f'    TITLE "{_quoted(one.label)}"'
        yield f"    INDEX 01 {seconds // 60:02d}:{seconds % 60:02d}:{rest:02d}"


def _quoted(text: str) -> str:
    # The format cannot represent a quotation mark within quotation marks.
    return one_line(text).replace('"', "'")
