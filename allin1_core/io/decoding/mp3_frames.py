"""Frames of MPEG audio, layer III: their location in a file, and the note about them in the header frame.

An encoder may store the number of frames, their size in bytes, and its delay in a header frame before the others (Xing,
Info, with an extension by LAME). A file that was concatenated from several has several of these notes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from allin1_core.io.decoding.source import STEP, Source
from allin1_core.io.decoding.tags import skip_tags

#: Bit rates in kbit/s by the index in a header; 0 for free or forbidden ones.
_BIT_RATES = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}

#: Sample rates in Hz by version (MPEG 2.5, reserved, 2, 1) and index.
_RATES = (
    (11_025, 12_000, 8_000, 0),
    (0, 0, 0, 0),
    (22_050, 24_000, 16_000, 0),
    (44_100, 48_000, 32_000, 0),
)

#: Number of consecutive frames that is not a coincidence: of the previous kind, and of another kind.
_SURE_SAME, _SURE_OTHER = 2, 4

#: Delay of decoding in samples, which a decoder that knows the encoder's delay also removes.
DECODER_DELAY = 529


@dataclass(frozen=True)
class FrameKind:
    """Common properties of the frames of one stream.

    Attributes
    ----------
    second
        Second byte of the header, with the bit for "no checksum" set.
    rate, channels, samples
        Sample rate in Hz, number of channels, and samples per channel and frame.
    side_bytes
        Length of the side information after the header.
    lengths
        Length of a frame in bytes by the third byte of its header; 0 if that is not of this kind.
    """

    second: int
    rate: int
    channels: int
    samples: int
    side_bytes: int
    lengths: tuple[int, ...]

    def matches(self, header: bytes) -> bool:
        """Whether a header of four bytes is of this kind."""
        return (
            header[0] == 0xFF
            and header[1] | 1 == self.second
            and self.lengths[header[2]] > 0
            and (header[3] >= 0xC0) == (self.channels == 1)
        )


def kind_of(header: bytes) -> FrameKind | None:
    """Return the kind of the frame with this header of four bytes; None if it is not a header."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    kind = _kind(header[1] | 1, header[2] >> 2 & 3, header[3] >= 0xC0)
    return kind if kind is not None and kind.matches(header) else None


@cache
def _kind(second: int, rate_index: int, mono: bool) -> FrameKind | None:
    version = second >> 3 & 3
    rate = _RATES[version][rate_index]
    if not rate:
        return None
    first = version == 3
    samples = 1152 if first else 576
    lengths = []
    for third in range(256):
        bit_rate = _BIT_RATES[1 if first else 2][third >> 4]
        length = samples // 8 * 1000 * bit_rate // rate + (third >> 1 & 1)
        lengths.append(length if bit_rate and third >> 2 & 3 == rate_index else 0)
    side_bytes = (17 if mono else 32) if first else (9 if mono else 17)
    return FrameKind(second, rate, 1 if mono else 2, samples, side_bytes, tuple(lengths))


@dataclass(frozen=True)
class Note:
    """The content of a header frame (Xing, Info, LAME).

    Attributes
    ----------
    frames, size
        Number of the frames that follow, and size in bytes including this one; None if not stated.
    delay, padding
        Number of samples that the encoder added before and after the song; 0 if not stated.
    """

    frames: int | None
    size: int | None
    delay: int
    padding: int

    def counts(self, kind: FrameKind) -> tuple[int, int] | None:
        """Frames and bytes; None if one is not stated, or they are inconsistent."""
        if not self.frames or not self.size:
            return None
        shortest = min(length for length in kind.lengths if length)
        fits = self.frames * shortest <= self.size <= (self.frames + 1) * max(kind.lengths)
        return (self.frames, self.size) if fits else None

    def samples(self, kind: FrameKind, frames: int) -> int:
        """Number of samples in `frames` frames, without the delay and padding of the encoder."""
        trimmed = self.delay + DECODER_DELAY + max(0, self.padding - DECODER_DELAY)
        return max(0, frames * kind.samples - trimmed)


def write_note(kind: FrameKind, header: bytes, note: Note) -> bytes:
    """Create the header frame for `note`, for frames with a header like `header`; its own size is added."""
    at = 4 + kind.side_bytes
    # The shortest frame with enough space; the second bit of this byte is for padding.
    third = min(
        (t for t in range(256) if kind.lengths[t] >= at + 160 and not t & 2),
        key=lambda t: kind.lengths[t],
    )
    length = kind.lengths[third]
    content = struct.pack(
        ">4sIII21s",
        *(b"Xing", 3, note.frames or 0, (note.size or 0) + length, b"LAME3.100"),
    ) + (note.delay << 12 | note.padding).to_bytes(3, "big")
    frame = bytes((0xFF, kind.second, third, header[3])).ljust(at, b"\0") + content
    return frame.ljust(length, b"\0")


def read_note(kind: FrameKind, frame: bytes) -> Note | None:
    """Return the note in a header frame; None if it is an ordinary frame."""
    for at in (4 + kind.side_bytes, 6 + kind.side_bytes):
        if frame[at : at + 4] in (b"Xing", b"Info") and len(frame) >= at + 16:
            break
    else:
        return None
    flags = struct.unpack_from(">I", frame, at + 4)[0]
    numbers = struct.unpack_from(">II", frame, at + 8)
    frames = numbers[0] if flags & 1 else None
    size = numbers[flags & 1] if flags & 2 else None
    # Two numbers, a table of a hundred bytes and another number may stand before LAME's part.
    lame = at + 8 + 4 * (flags & 1) + 2 * (flags & 2) + 25 * (flags & 4) + (flags & 8) // 2
    has_lame = frame[lame : lame + 4].isalnum() and len(frame) >= lame + 24
    high, middle, low = frame[lame + 21 : lame + 24] if has_lame else bytes(3)
    return Note(frames, size, high << 4 | middle >> 4, (middle & 15) << 8 | low)


@dataclass
class Run:
    """Consecutive frames: bytes `start` to `end`, where the last frame starts at `last`."""

    start: int
    last: int
    end: int
    frames: int


@dataclass
class Stream:
    """The frames of one of the concatenated MP3 files.

    Attributes
    ----------
    kind, note
        Kind and note of its frames; the note may be None.
    runs
        Its frames without the header frame. The data between two runs is damaged.
    """

    kind: FrameKind
    note: Note | None
    runs: list[Run] = field(default_factory=list)

    @property
    def frames(self) -> int:
        """Number of frames that were found."""
        return sum(run.frames for run in self.runs)


def follow(source: Source, start: int, kind: FrameKind, most: int | None = None) -> Run:
    """Return the run of frames of a kind from `start`, at most `most`, up to the next header frame."""
    at, last, frames = start, start, 0
    data, base = b"", start
    second, lengths, mono = kind.second, kind.lengths, kind.channels == 1
    note = 4 + kind.side_bytes
    while most is None or frames < most:
        i = at - base
        if i + note + 6 > len(data):
            data, base, i = source.read_at(at, STEP), at, 0
            if len(data) < 4:
                break
        if data[i] != 0xFF or data[i + 1] | 1 != second or (data[i + 3] >= 0xC0) != mono:
            break
        length = lengths[data[i + 2]]
        if not length or at + length > source.size:
            break
        words = data[i + note : i + note + 6]
        if frames and (b"Xing" in words or b"Info" in words):
            break
        last = at
        at += length
        frames += 1
    return Run(start, last, at, frames)


def find_frames(
    source: Source, start: int, kind: FrameKind | None, stop: int | None = None
) -> tuple[int, FrameKind] | None:
    """Return the first offset from `start` at which frames begin, and their kind.

    More consecutive frames are required if their kind is not `kind`; at the end of the file, one is enough.
    """
    at = start
    stop = source.size if stop is None else min(stop, source.size)
    while at < stop:
        data = source.read_at(at, STEP)
        if len(data) < 4:
            return None
        index = data.find(b"\xff")
        while 0 <= index <= len(data) - 4:
            found = kind_of(data[index : index + 4])
            if found is not None and _is_sure(source, at + index, found, kind):
                return at + index, found
            index = data.find(b"\xff", index + 1)
        at += len(data) - 3
    return None


def _is_sure(source: Source, at: int, found: FrameKind, kind: FrameKind | None) -> bool:
    sure = _SURE_SAME if found == kind else _SURE_OTHER
    run = follow(source, at, found, sure)
    if run.frames == sure:
        return True
    return run.frames > 0 and (found == kind or kind is None) and _is_end(source, run.end, found)


def _is_end(source: Source, at: int, kind: FrameKind) -> bool:
    """Whether only tags or a truncated frame follow."""
    head = source.read_at(at, 4)
    if len(head) == 4 and kind.matches(head):
        return at + kind.lengths[head[2]] > source.size
    return skip_tags(source, at) == source.size


def find_streams(source: Source, start: int, kind: FrameKind) -> Iterator[Stream]:
    """Yield the streams of a file whose first frame, of `kind`, begins at `start`."""
    stream: Stream | None = None
    at, tagged = start, True
    while True:
        note = None
        length = kind.lengths[source.read_at(at, 4)[2]]
        if at + length <= source.size:
            note = read_note(kind, source.read_at(at, length))
        if stream is None or note is not None or tagged or kind != stream.kind:
            if stream is not None:
                yield stream
            stream = Stream(kind, note)
        if note is not None:
            at += length
        run = follow(source, at, kind)
        if run.frames:
            stream.runs.append(run)
        behind = skip_tags(source, run.end)
        # Zeros alone count as damage, too, unless the frames after them start a stream.
        tagged = behind > run.end and any(source.read_at(run.end, 1))
        found = find_frames(source, behind, kind)
        if found is None:
            break
        at, kind = found
    yield stream
