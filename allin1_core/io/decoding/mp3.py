"""MP3 files, decoded by libsndfile from a stream that is whole.

libsndfile trusts what the first frame notes about the length, guesses where there is no note, and gives up where a kilobyte of
something else lies between frames. So the frames are looked up here, and a decoder gets them alone, with a note that is right. In
place of frames that are lost come silent ones, so that times stay what they are.
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

#: Bytes after which no first frame is looked for any more.
_FAR = 1 << 20

#: Bytes by which a file may differ from what its first frame says; some count that frame itself, some do not.
_SLACK = 4096

#: Bytes that a frame can at most borrow from those before it.
_RESERVOIR = 511


def find_first(source: Source, *, named_mp3: bool) -> tuple[int, FrameKind] | None:
    """Give the offset and kind of the first frame; None if this is no MP3 file.

    Behind tags and zeros a frame must follow at once, else the file's name must say that it is an MP3, or a tag stand
    at its beginning.
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
        Of the first frame.
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
        """Give the audio from beginning to end; raises `DecodingError` where it cannot go on."""
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
                # Frames overlap: the one behind fades in.
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
    """Samples by the first frame, if it says how many frames and bytes follow, and the file is as long as that."""
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
    """Frames and bytes by the note, if there is one and it makes sense."""
    return None if stream.note is None else stream.note.counts(stream.kind)


def _trimmed_s(stream: Stream, frames: int) -> float:
    kind, note = stream.kind, stream.note
    samples = frames * kind.samples if note is None else note.samples(kind, frames)
    return samples / kind.rate


def _missing_frames(source: Source, stream: Stream) -> list[int]:
    """How many frames were where other bytes are now, for each place between two runs.

    By the number of frames that are noted, if that can be; else by the bytes. Bytes that were put between frames
    took nothing away.
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
    """Whether all frames are as long as the first, give or take a byte of padding."""
    shortest = kind.lengths[source.read_at(run.start, 4)[2] & ~2]
    return run.frames * shortest <= run.end - run.start <= run.frames * (shortest + 1)


def _frames_in(gap: int, mean: float, *, has_one_rate: bool) -> int:
    count = round(gap / mean)
    is_whole = abs(gap - count * mean) <= count + 2
    return count if is_whole or not has_one_rate else 0


def _shared(count: int, gaps: list[int]) -> list[int]:
    """Share out `count` in proportion to the lengths of the gaps."""
    shares, done, total = [], 0, sum(gaps)
    for sofar in itertools.accumulate(gaps):
        upto = round(count * sofar / total)
        shares.append(upto - done)
        done = upto
    return shares


def _whole_stream(
    source: Source, stream: Stream, missing: list[int]
) -> tuple[list[Piece], list[tuple[int, int]]]:
    """Put a stream together that a decoder reads without a stop.

    Returns
    -------
    pieces
        The stream.
    silent
        First frame and the one behind the last of every stretch that is silent instead of lost.
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
            # The last frame before damage has a good header and, likely, damaged content.
            if run.frames > muted_start:
                muted_end = 1
                end = run.last
            silent.append((done + run.frames - muted_end, 0))
        frames.append(range(start, end))
        if muted_end:
            frames.append(_muted(kind, source.read_at(end, run.end - end)))
        done += run.frames
    if stream.note is None:
        # What is cut off is the delay that this states and the decoder's own: one silent frame, put there for it.
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
    """Mute frames at the beginning of a run that need bytes from before it.

    Returns
    -------
    muted
        The frames.
    start
        Offset of the first that stands on its own.
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
    """Where the side information begins: behind the header, and behind a checksum where there is one."""
    return 4 if frame[1] & 1 else 6


def _muted(kind: FrameKind, frame: bytes) -> bytes:
    """Give a frame that sounds of nothing, and keeps the bytes that later ones borrow."""
    side = _side_at(frame)
    return frame[:side] + bytes(kind.side_bytes) + frame[side + kind.side_bytes :]


def _silent_frame(kind: FrameKind, header: bytes) -> bytes:
    return bytes((0xFF, kind.second, *header[2:4])).ljust(kind.lengths[header[2]], b"\0")
