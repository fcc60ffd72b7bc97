"""Tags around the audio of a file: ID3 and APE."""

from __future__ import annotations

from allin1_core.io.decoding.source import STEP, Source

_ID3V1_BYTES = 128
_APE_BYTES = 32


def skip_tags(source: Source, at: int) -> int:
    """Return the offset after any tags and zeros at `at`."""
    while at < source.size:
        head = source.read_at(at, _APE_BYTES)
        if head.startswith(b"ID3") and len(head) > 10:
            # Four bytes of seven bits: the size without the header. A flag indicates a footer.
            high, upper, lower, low = head[6:10]
            size = 10 + (high << 21 | upper << 14 | lower << 7 | low) + (10 if head[5] & 16 else 0)
            at += size if at + size < source.size else 10
        elif head.startswith(b"TAG"):
            at += _ID3V1_BYTES
        elif head.startswith(b"APETAGEX") and len(head) == _APE_BYTES:
            size = _APE_BYTES + int.from_bytes(head[12:16], "little")
            at += size if at + size <= source.size else _APE_BYTES
        elif head[0] == 0:
            at = _skip_zeros(source, at)
        else:
            break
    return min(at, source.size)


def _skip_zeros(source: Source, at: int) -> int:
    while data := source.read_at(at, STEP):
        rest = data.lstrip(b"\0")
        at += len(data) - len(rest)
        if rest:
            break
    return at


def find_end(source: Source) -> int:
    """Return the offset of the tags at the end of a file; its size if there are none."""
    end = source.size
    if source.read_at(end - _ID3V1_BYTES, 3) == b"TAG" and end > _ID3V1_BYTES:
        end -= _ID3V1_BYTES
    if end > _APE_BYTES:
        footer = source.read_at(end - _APE_BYTES, _APE_BYTES)
        if footer.startswith(b"APETAGEX"):
            # The size includes the footer; a flag indicates a header of the same size.
            size = int.from_bytes(footer[12:16], "little")
            size += _APE_BYTES if footer[23] & 128 else 0
            end -= size if size < end else 0
    return end
