"""FLAC files, including those with damaged frames and concatenated files.

libsndfile stops at the first damaged frame. Frames state their position and have checksums, so intact frames after it can be
found, and decoded with another decoder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from allin1_core.io.decoding import libsndfile
from allin1_core.io.decoding.reader import Block, DecodingError, Samples, silence
from allin1_core.io.decoding.source import STEP, Piece, Source
from allin1_core.io.decoding.tags import find_end, skip_tags

_MAGIC = b"fLaC"
_FIRST_BLOCK = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")

_SYNC = re.compile(rb"\xff[\xf8\xf9]")

#: Longest header of a frame.
_HEADER_BYTES = 16

#: Number of frames before and after a candidate, one of which must be adjacent in position, or it is not a frame.
_NEIGHBOURS = 3


def _table(polynomial: int, bits: int) -> tuple[int, ...]:
    mask, top = (1 << bits) - 1, 1 << (bits - 1)
    values = []
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value & top else 0)) & mask
        values.append(value)
    return tuple(values)


_CRC8, _CRC16 = _table(0x07, 8), _table(0x8005, 16)


def _crc8(content: bytes) -> int:
    crc = 0
    for byte in content:
        crc = _CRC8[crc ^ byte]
    return crc


def _crc16(content: bytes) -> int:
    crc = 0
    for byte in content:
        crc = (crc << 8 & 0xFF00) ^ _CRC16[crc >> 8 ^ byte]
    return crc


@dataclass(frozen=True)
class Stream:
    """One of the concatenated FLAC files: bytes `start` to `end`, the content of its first block, and the start of its frames."""

    start: int
    end: int
    info: bytes
    frames_at: int

    @property
    def block_size(self) -> int:
        """Number of samples per frame, if all have the same number."""
        return int.from_bytes(self.info[0:2], "big")

    @property
    def header(self) -> bytes:
        """A header for any of the frames, with neither length nor checksum."""
        info = self.info[:13] + bytes((self.info[13] & 0xF0,)) + bytes(20)
        return _MAGIC + bytes((0x80, 0, 0, len(info))) + info


@dataclass(frozen=True)
class Frame:
    """A frame at byte `start`, with the position of its first sample and the number of samples."""

    start: int
    position: int
    samples: int

    @property
    def end(self) -> int:
        """Position after its last sample."""
        return self.position + self.samples


def find_first(source: Source) -> Stream | None:
    """Return the first stream of a file; None if it is not a FLAC file."""
    return _stream_at(source, skip_tags(source, 0))


def find_streams(source: Source, first: Stream) -> list[Stream]:
    """Return all concatenated streams."""
    streams = [first]
    while stream := _next_stream(source, streams[-1].frames_at):
        streams.append(stream)
    ends = [*(stream.start for stream in streams[1:]), find_end(source)]
    return [replace(stream, end=end) for stream, end in zip(streams, ends, strict=True)]


def _next_stream(source: Source, start: int) -> Stream | None:
    at = start
    while data := source.read_at(at, STEP):
        for match in _FIRST_BLOCK.finditer(data):
            stream = _stream_at(source, at + match.start())
            if stream is not None:
                return stream
        at += max(1, len(data) - 7)
    return None


def _stream_at(source: Source, start: int) -> Stream | None:
    if not _FIRST_BLOCK.match(source.read_at(start, 8)):
        return None
    at = start + 4
    while len(head := source.read_at(at, 4)) == 4:
        at += 4 + int.from_bytes(head[1:], "big")
        if head[0] & 128:
            info = source.read_at(start + 8, 34)
            return Stream(start, source.size, info, at) if len(info) == 34 else None
    return None


def find_frames(source: Source, stream: Stream) -> list[Frame]:
    """Find the frames of a file by their headers, in order; their content may be damaged."""
    found = []
    at = stream.frames_at
    while at < stream.end and (data := source.read_at(at, STEP + _HEADER_BYTES)):
        for match in _SYNC.finditer(data, 0, min(STEP + 1, stream.end - at)):
            index = match.start()
            frame = _frame_at(data[index : index + _HEADER_BYTES], at + index, stream)
            if frame is not None:
                found.append(frame)
        at += STEP
    starts = [frame.position for frame in found]
    ends = [frame.end for frame in found]
    return [
        frame
        for i, frame in enumerate(found)
        if starts[i] in ends[max(0, i - _NEIGHBOURS) : i]
        or ends[i] in starts[i + 1 : i + 1 + _NEIGHBOURS]
    ]


def _frame_at(head: bytes, start: int, stream: Stream) -> Frame | None:
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    size_code, rate_code = head[2] >> 4, head[2] & 15
    if not size_code or rate_code == 15:
        return None
    first = head[4]
    extra = 0 if first < 0x80 else 8 - (first ^ 0xFF).bit_length() - 1
    if first in (0x80, 0xFF) or (first >= 0x80 and not 1 <= extra <= 6):
        return None
    number = first if first < 0x80 else first & (0x3F >> extra)
    at = 5 + extra
    for byte in head[5:at]:
        if byte & 0xC0 != 0x80:
            return None
        number = number << 6 | byte & 0x3F
    if size_code in (6, 7):
        width = size_code - 5
        samples = int.from_bytes(head[at : at + width], "big") + 1
        at += width
    else:
        samples = (0, 192, 576, 1152, 2304, 4608)[size_code] if size_code < 6 else 1 << size_code
    at += (0, 1, 2, 2)[rate_code - 11] if rate_code >= 12 else 0
    if at >= len(head) or _crc8(head[:at]) != head[at]:
        return None
    is_variable = head[1] & 1
    return Frame(start, number if is_variable else number * stream.block_size, samples)


class FlacReader:
    """A FLAC file; see :class:`~allin1_core.io.decoding.reader.Reader`.

    Parameters
    ----------
    source
        The open file; closed with the reader.
    first
        The first stream of the file.
    pcm16_full_scale
        Divisor of 16-bit samples.

    Raises
    ------
    NotReadableError
        libsndfile cannot open the first stream.
    """

    guessed_frames: int | None = None

    def __init__(self, source: Source, first: Stream, pcm16_full_scale: int) -> None:
        self.source, self._first, self._scale = source, first, pcm16_full_scale
        self.gaps: list[tuple[float, float]] = []
        self.promised_s: float | None = None
        decoder = libsndfile.Decoder(source, [range(first.start, first.end)])
        self.info = libsndfile.describe(decoder, source)
        decoder.close()

    def blocks(self) -> Iterator[Block]:
        """Yield the audio from start to end; raises `DecodingError` if it cannot continue."""
        done_s = 0.0
        for stream in find_streams(self.source, self._first):
            part = _Part(self.source, stream, self._scale)
            if part.promised is not None:
                self.promised_s = done_s + part.promised / part.rate
            for samples in part.blocks():
                yield Block(samples, part.rate)
                if part.gaps:
                    spans = [(done_s + a / part.rate, done_s + b / part.rate) for a, b in part.gaps]
                    self.gaps += spans
                    part.gaps.clear()
            done_s += part.done / part.rate

    def close(self) -> None:
        """Close the file."""
        self.source.close()


class _Part:
    """Reads one stream of a file.

    Attributes
    ----------
    rate, channels, promised
        Rate, channels and length in samples according to its header; the length may be None.
    done
        Number of samples yielded so far.
    gaps
        Start and end positions of inserted silence.
    """

    def __init__(self, source: Source, stream: Stream, pcm16_full_scale: int) -> None:
        self.source, self._stream, self._scale = source, stream, pcm16_full_scale
        try:
            self._decoder = self._open([range(stream.start, stream.end)])
        except libsndfile.NotReadableError as error:
            raise DecodingError(str(error)) from error
        self.rate, self.channels = self._decoder.rate, self._decoder.channels
        self.promised = self._decoder.frames
        self.done = 0
        self.gaps: list[tuple[int, int]] = []

    def _open(self, pieces: list[Piece]) -> libsndfile.Decoder:
        return libsndfile.Decoder(self.source, pieces, self._scale)

    def blocks(self) -> Iterator[Samples]:
        trouble: DecodingError | None = None
        try:
            for samples in self._decoder.blocks():
                self.done += len(samples)
                yield samples
        except DecodingError as error:
            trouble = error
        finally:
            self._decoder.close()
        if trouble is not None or (self.promised is not None and self.done < self.promised):
            yield from self._after_damage(trouble)

    def _after_damage(self, trouble: DecodingError | None) -> Iterator[Samples]:
        """Continue with intact frames, and silence in place of damaged ones."""
        limit = self.promised
        frames = find_frames(self.source, self._stream)
        frames = [frame for frame in frames if limit is None or frame.end <= limit]
        at = 0
        while True:
            while at < len(frames) and frames[at].end <= self.done:
                at += 1
            before = self.done
            try:
                bad = at
                if at < len(frames) and frames[at].position <= self.done:
                    bad = self._first(frames, at, whole=False)
                    yield from self._decoded(frames, at, bad)
                good = self._first(frames, bad, whole=True)
                if good == len(frames):
                    break
                yield from self._silence(frames[good].position)
                trouble = None
                yield from self._decoded(frames, good, len(frames))
            except DecodingError as error:
                trouble = error
            if self.done == before:
                at += 1
        if trouble is not None:
            raise trouble

    def _silence(self, end: int) -> Iterator[Samples]:
        """Yield silence up to a position, and record the gap."""
        if end > self.done:
            self.gaps.append((self.done, end))
            for block in silence(end - self.done, self.channels, self.rate):
                self.done += len(block.samples)
                yield block.samples

    def _first(self, frames: list[Frame], start: int, *, whole: bool) -> int:
        """Index of the first frame from `start` that is intact, or is not; the number of frames if there is none."""
        for index in range(start, len(frames)):
            if self._is_whole(frames, index) == whole:
                return index
        return len(frames)

    def _is_whole(self, frames: list[Frame], index: int) -> bool:
        frame, end = frames[index], self._stream.end
        if index + 1 < len(frames):
            if frames[index + 1].position != frame.end:
                return False
            end = frames[index + 1].start
        return not _crc16(self.source.read_at(frame.start, end - frame.start))

    def _decoded(self, frames: list[Frame], first: int, behind: int) -> Iterator[Samples]:
        """Decode frames `first` to `behind`, without samples that were already yielded."""
        end = frames[behind].start if behind < len(frames) else self._stream.end
        try:
            decoder = self._open([self._stream.header, range(frames[first].start, end)])
        except libsndfile.NotReadableError as error:
            raise DecodingError(str(error)) from error
        skipped = max(0, self.done - frames[first].position)
        try:
            for samples in decoder.blocks():
                new = samples[skipped:]
                skipped -= len(samples) - len(new)
                if self.promised is not None:
                    # Frames may be duplicated, or in another order.
                    new = new[: self.promised - self.done]
                if len(new):
                    self.done += len(new)
                    yield new
        finally:
            decoder.close()
