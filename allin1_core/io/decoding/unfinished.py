"""Files with an unfinished header, for example of a recorder that crashed: the stated length is zero."""

from __future__ import annotations

from allin1_core.io.decoding.source import Piece, Source

#: Length in 32 bits that means "to the end".
_OPEN_32 = b"\xff\xff\xff\xff"


def finished(source: Source) -> list[Piece] | None:
    """Return the pieces of the file with a length in its header; None if the header is complete."""
    head = source.read_at(0, 16)
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return _riff(source)
    if head[:4] == b".snd" and head[8:12] == bytes(4):
        return _replaced(source, {8: _OPEN_32})
    if head[:4] == b"caff":
        return _caf(source)
    return None


def _replaced(source: Source, changes: dict[int, bytes]) -> list[Piece]:
    pieces: list[Piece] = []
    at = 0
    for offset, content in changes.items():
        pieces += [range(at, offset), content]
        at = offset + len(content)
    return [*pieces, range(at, source.size)]


def _riff(source: Source) -> list[Piece] | None:
    at = 12
    while len(head := source.read_at(at, 8)) == 8:
        name, size = head[:4], int.from_bytes(head[4:], "little")
        if name == b"ds64":
            content = source.read_at(at + 8, 16)
            long_size = int.from_bytes(content[8:16], "little")
            if long_size or len(content) < 16:
                return None
            # Without this chunk, it is a plain WAV file, which supports "to the end".
            return _riff_to_end(source, at + 8 + size + size % 2)
        if name == b"data":
            rest = source.size - at - 8
            if size or not rest or _are_chunks(source, at + 8):
                return None
            return _replaced(source, {4: _OPEN_32, at + 4: _OPEN_32})
        at += 8 + size + size % 2
    return None


def _riff_to_end(source: Source, start: int) -> list[Piece] | None:
    at = start
    while len(head := source.read_at(at, 8)) == 8:
        if head[:4] == b"data":
            return [
                b"RIFF" + _OPEN_32 + b"WAVE",
                range(start, at + 4),
                _OPEN_32,
                range(at + 8, source.size),
            ]
        size = int.from_bytes(head[4:], "little")
        at += 8 + size + size % 2
    return None


def _are_chunks(source: Source, start: int) -> bool:
    """Whether only other chunks follow, up to the end of the file."""
    at = start
    while len(head := source.read_at(at, 8)) == 8 and head[:4].isalnum():
        size = int.from_bytes(head[4:], "little")
        at += 8 + size + size % 2
    return at >= source.size


def _caf(source: Source) -> list[Piece] | None:
    at = 8
    while len(head := source.read_at(at, 12)) == 12:
        size = int.from_bytes(head[4:], "big", signed=True)
        if head[:4] == b"data":
            # -1 means "to the end", which libsndfile does not support.
            rest = source.size - at - 12
            return _replaced(source, {at + 4: rest.to_bytes(8, "big")}) if size in (0, -1) else None
        if size < 0:
            return None
        at += 12 + size
    return None
