"""MP3 files, decoded by libsndfile from a repaired stream.

libsndfile trusts the length in the header frame (Xing, Info), estimates it if there is none, and stops if there is a kilobyte
of other data between frames. So the frames are located here, and passed to a decoder alone, with a correct header frame. Lost
frames are replaced by silent ones, so that times are unaffected.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from allin1_core.io.decoding import libsndfile
from allin1_core.io.decoding.mp3_frames import (
    DECODER_DELAY,
    FrameKind,
    Note,
    Run,
    Stream,
    find_frames,
    find_streams,
    kind_of,
    read_note,
    write_note,
)
from allin1_core.io.decoding.reader import AudioInfo, Block, DecodingError, check_shape
from allin1_core.io.decoding.source import Piece, Source
from allin1_core.io.decoding.tags import skip_tags

#: Maximum offset in bytes of the first frame.
_FAR = 1 << 20

#: Tolerance in bytes for the size in the header frame; some encoders count that frame itself, some do not.
_SLACK = 4096

#: Maximum number of bytes that a frame uses from those before it (bit reservoir).
_RESERVOIR = 511


def find_first(source: Source, *, named_mp3: bool) -> tuple[int, FrameKind] | None:
    """Return the offset and kind of the first frame; None if this is not an MP3 file.

    A frame must follow immediately after tags and zeros, unless the file name is that of an MP3, or the file starts with
    a tag.
    """
    at = skip_tags(source, 0)
    named_mp3 = named_mp3 or source.read_at(0, 3) == b"ID3"
    if kind_of(source.read_at(at, 4)) is None and not named_mp3:
        return None
    return find_frames(source, at, None, at + (_FAR if named_mp3 else 1))


class Mp3Reader:
    """An MP3 file; see :class:`~allin1_core.io.decoding.reader.Reader`.

    Parameters
    ----------
    source
        The open file; closed with the reader.
    start, kind
        Offset and kind of the first frame.
    """

    guessed_frames: int | None = None

    def __init__(self, source: Source, start: int, kind: FrameKind) -> None:
        self.source, self._start, self._kind = source, start, kind
        self.gaps: list[tuple[float, float]] = []
        self.promised_s: float | None = None
        check_shape(source.path, kind.rate, kind.channels)
        frames = _length_by_note(source, start, kind)
        self.info = AudioInfo(
            path=source.path,
            sample_rate=kind.rate,
            channels=kind.channels,
            frames=frames,
            duration_s=None if frames is None else frames / kind.rate,
            format="MP3",
            subtype="MPEG_LAYER_III",
            decoder=libsndfile.version(),
        )

    def blocks(self) -> Iterator[Block]:
        """Yield the audio from start to end; raises `DecodingError` if it cannot continue."""
        done_s = promised_s = 0.0
        for stream in find_streams(self.source, self._start, self._kind):
            kind, note = stream.kind, stream.note
            if not stream.runs:
                continue
            check_shape(self.source.path, kind.rate, kind.channels)
            missing = _missing_frames(self.source, stream)
            total = stream.frames + sum(missing)
            counts = _counts(stream)
            promised_s += _trimmed_s(stream, max(total, counts[0] if counts else 0))
            self.promised_s = promised_s
            pieces, silent = _whole_stream(self.source, stream, missing)
            before = 0 if note is None else note.delay + DECODER_DELAY
            for first, last in silent:
                # Frames overlap: the next one fades in.
                start_s, end_s = (
                    (n * kind.samples - before) / kind.rate for n in (first, last + 1)
                )
                self.gaps.append((done_s + max(0.0, start_s), done_s + end_s))
            samples = 0
            try:
                decoder = libsndfile.Decoder(self.source, pieces)
            except libsndfile.NotReadableError as error:
                raise DecodingError(str(error)) from error
            try:
                for block in decoder.blocks():
                    samples += len(block)
                    yield Block(block, kind.rate)
            finally:
                decoder.close()
            done_s += samples / kind.rate

    def close(self) -> None:
        """Close the file."""
        self.source.close()


def _length_by_note(source: Source, start: int, kind: FrameKind) -> int | None:
    """Number of samples according to the header frame, if it is complete and consistent with the size of the file."""
    head = source.read_at(start, 4)
    note = read_note(kind, source.read_at(start, kind.lengths[head[2]]))
    counts = None if note is None else note.counts(kind)
    if note is None or counts is None:
        return None
    frames, size = counts
    rest = source.size - start - size
    if rest > _SLACK and skip_tags(source, start + size) == source.size:
        rest = 0
    return note.samples(kind, frames) if abs(rest) <= _SLACK else None


def _counts(stream: Stream) -> tuple[int, int] | None:
    """Frames and bytes according to the note, if there is one and it is plausible."""
    return None if stream.note is None else stream.note.counts(stream.kind)


def _trimmed_s(stream: Stream, frames: int) -> float:
    kind, note = stream.kind, stream.note
    samples = frames * kind.samples if note is None else note.samples(kind, frames)
    return samples / kind.rate


def _missing_frames(source: Source, stream: Stream) -> list[int]:
    """Number of lost frames in each gap between two runs.

    It is computed from the number of frames in the note, if plausible, otherwise from the number of bytes. Bytes that were
    inserted between frames replace no frames.
    """
    runs, kind = stream.runs, stream.kind
    gaps = [after.start - before.end for before, after in itertools.pairwise(runs)]
    if not gaps:
        return []
    mean = sum(run.end - run.start for run in runs) / stream.frames
    has_one_rate = all(_has_one_rate(source, kind, run) for run in runs)
    by_bytes = [_frames_in(gap, mean, has_one_rate=has_one_rate) for gap in gaps]
    counts = _counts(stream)
    if counts is None:
        return by_bytes
    noted, size = counts
    lost = max(0, noted - stream.frames)
    is_cut = size - (runs[-1].end - runs[0].start) > 2 * max(kind.lengths)
    if is_cut:
        return by_bytes if sum(by_bytes) <= lost else _shared(lost, gaps)
    shortest = min(length for length in kind.lengths if length)
    return _shared(min(lost, sum(gaps) // shortest), gaps)


def _has_one_rate(source: Source, kind: FrameKind, run: Run) -> bool:
    """Whether all frames are as long as the first, up to a byte of padding."""
    shortest = kind.lengths[source.read_at(run.start, 4)[2] & ~2]
    return run.frames * shortest <= run.end - run.start <= run.frames * (shortest + 1)


def _frames_in(gap: int, mean: float, *, has_one_rate: bool) -> int:
    count = round(gap / mean)
    is_whole = abs(gap - count * mean) <= count + 2
    return count if is_whole or not has_one_rate else 0


def _shared(count: int, gaps: list[int]) -> list[int]:
    """Distribute `count` in proportion to the lengths of the gaps."""
    shares, done, total = [], 0, sum(gaps)
    for sofar in itertools.accumulate(gaps):
        upto = round(count * sofar / total)
        shares.append(upto - done)
        done = upto
    return shares


def _whole_stream(
    source: Source, stream: Stream, missing: list[int]
) -> tuple[list[Piece], list[tuple[int, int]]]:
    """Assemble a stream that a decoder reads to the end.

    Returns
    -------
    pieces
        The stream.
    silent
        For each replaced stretch, its first frame and the one after its last.
    """
    kind = stream.kind
    header = source.read_at(stream.runs[0].start, 4)
    quiet = _silent_frame(kind, header)
    frames: list[Piece] = []
    silent: list[tuple[int, int]] = []
    done = 0
    for index, run in enumerate(stream.runs):
        muted_end = muted_start = 0
        start, end = run.start, run.end
        if index:
            frames += [quiet] * missing[index - 1]
            heads, start = _without_reservoir(source, kind, run)
            frames += heads
            muted_start = len(heads)
            first = silent.pop()[0]
            silent.append((first, done + missing[index - 1] + muted_start))
            done += missing[index - 1]
        if index + 1 < len(stream.runs):
            # The last frame before damage has an intact header, but its content is probably damaged.
            if run.frames > muted_start:
                muted_end = 1
                end = run.last
            silent.append((done + run.frames - muted_end, 0))
        frames.append(range(start, end))
        if muted_end:
            frames.append(_muted(kind, source.read_at(end, run.end - end)))
        done += run.frames
    if stream.note is None:
        # The decoder removes the stated delay and its own: together one silent frame, inserted for this purpose.
        frames.insert(0, quiet)
        done += 1
        delay, padding = kind.samples - DECODER_DELAY, 0
    else:
        delay = stream.note.delay
        counts = _counts(stream)
        padding = stream.note.padding if counts is None or counts[0] == done else 0
    note = Note(done, sum(map(len, frames)), delay, padding)
    return [write_note(kind, header, note), *frames], silent


def _without_reservoir(source: Source, kind: FrameKind, run: Run) -> tuple[list[Piece], int]:
    """Mute frames at the start of a run that need bytes from before it.

    Returns
    -------
    muted
        The frames.
    start
        Offset of the first frame that does not need them.
    """
    muted: list[Piece] = []
    at = run.start
    held = 0
    while at < run.end and held < _RESERVOIR:
        frame = source.read_at(at, kind.lengths[source.read_at(at, 4)[2]])
        side = _side_at(frame)
        long = kind.samples == 1152
        borrowed = frame[side] << 1 | frame[side + 1] >> 7 if long else frame[side]
        if borrowed <= held:
            break
        muted.append(_muted(kind, frame))
        held += len(frame) - side - kind.side_bytes
        at += len(frame)
    return muted, at


def _side_at(frame: bytes) -> int:
    """Offset of the side information: after the header, and after a checksum if there is one."""
    return 4 if frame[1] & 1 else 6


def _muted(kind: FrameKind, frame: bytes) -> bytes:
    """Return a silent frame that keeps the bytes which later frames use."""
    side = _side_at(frame)
    return frame[:side] + bytes(kind.side_bytes) + frame[side + kind.side_bytes :]


def _silent_frame(kind: FrameKind, header: bytes) -> bytes:
    return bytes((0xFF, kind.second, *header[2:4])).ljust(kind.lengths[header[2]], b"\0")
