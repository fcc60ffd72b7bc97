"""Decoding by FFmpeg's libraries, through the package av."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from allin1_core.errors import AudioError
from allin1_core.io.decoding.reader import (
    AudioInfo,
    Block,
    DecodingError,
    Samples,
    check_shape,
    frames_at_once,
    silence,
)
from allin1_core.io.decoding.source import Source, Spliced

#: Containers that state a duration; for others, FFmpeg estimates it from the bit rate.
_STATING = frozenset({"mp4", "matroska", "asf"})

#: Tolerance for rounded times of frames.
_ROUNDING_S = 0.01

#: Longest jump in time that counts as a gap, if the container does not state a duration.
_LONGEST_GAP_S = 60.0


class FFmpegReader:
    """A file read with FFmpeg; see :class:`~allin1_core.io.decoding.reader.Reader`.

    Parameters
    ----------
    source
        The open file; closed with the reader.

    Raises
    ------
    AudioError
        FFmpeg cannot open the file, or it contains no audio.
    """

    guessed_frames: int | None = None

    def __init__(self, source: Source) -> None:
        import av

        self.source = source
        self.gaps: list[tuple[float, float]] = []
        try:
            self._container = av.open(Spliced(source), metadata_errors="replace")
        except (av.error.FFmpegError, ValueError) as error:
            raise AudioError(
                f"is not audio that libsndfile or FFmpeg can read ({_reason(error)}).",
                remedy="If it is audio, convert it to WAV or FLAC.",
                path=source.path,
            ) from error
        try:
            self._stream = self._first_stream()
            self.info = self._describe()
        except BaseException:
            self._container.close()
            raise
        self.promised_s = self.info.duration_s

    def _first_stream(self) -> Any:
        for stream in self._container.streams.audio:
            # Without a codec context, FFmpeg has no decoder for the stream.
            if stream.codec_context is not None:
                stream.codec_context.thread_count = 1
                return stream
        raise AudioError("has no audio stream.", path=self.source.path)

    def _describe(self) -> AudioInfo:
        import av

        codec, container = self._stream.codec_context, self._container
        channels = int(codec.layout.nb_channels)
        check_shape(self.source.path, int(codec.sample_rate or 0), channels)
        duration_s = None
        if container.duration and not _STATING.isdisjoint(container.format.name.split(",")):
            duration_s = container.duration / 1e6
        return AudioInfo(
            path=self.source.path,
            sample_rate=int(codec.sample_rate),
            channels=channels,
            frames=None,
            duration_s=duration_s,
            format=container.format.name,
            subtype=codec.name,
            decoder="PyAV {}, libavcodec {}.{}.{}".format(
                av.__version__, *av.library_versions["libavcodec"]
            ),
        )

    def blocks(self) -> Iterator[Block]:
        """Yield the audio from start to end; raises `DecodingError` if it cannot continue."""
        done_s = 0.0
        held: list[Samples] = []
        shape = (self.info.sample_rate, self.info.channels)
        for samples, rate, gap_s in self._frames():
            is_full = sum(map(len, held)) >= frames_at_once(shape[1])
            if held and (is_full or gap_s or shape != (rate, samples.shape[1])):
                yield Block(np.concatenate(held), shape[0])
                held = []
            if gap_s:
                self.gaps.append((done_s, done_s + gap_s))
                yield from silence(round(gap_s * rate), samples.shape[1], rate)
                done_s += gap_s
            shape = (rate, samples.shape[1])
            held.append(samples)
            done_s += len(samples) / rate
        if held:
            yield Block(np.concatenate(held), shape[0])

    def _frames(self) -> Iterator[tuple[Samples, int, float]]:
        """Yield each decoded frame, its rate, and the seconds missing before it."""
        import av

        expected_s: float | None = None
        start_s = 0.0
        failure = None
        for packet in self._packets():
            try:
                frames = packet.decode()
            except (av.error.FFmpegError, ValueError) as error:
                failure = error
                continue
            for frame in frames:
                rate = int(frame.sample_rate)
                check_shape(self.source.path, rate, int(frame.layout.nb_channels))
                base = frame.time_base
                at_s = None
                if frame.pts is not None and base is not None:
                    at_s = frame.pts * base.numerator / base.denominator
                gap_s = 0.0
                if expected_s is None:
                    start_s = expected_s = at_s or 0.0
                elif at_s is not None and self._is_gap(expected_s, at_s, start_s):
                    gap_s = at_s - expected_s
                if failure is not None and not gap_s:
                    lost_s = expected_s - start_s
                    self.gaps.append((lost_s, lost_s))
                failure = None
                expected_s += gap_s + frame.samples / rate
                for samples in self._converted(frame):
                    yield samples, rate, gap_s
                    gap_s = 0.0
        if failure is not None:
            raise DecodingError(_reason(failure)) from failure

    def _is_gap(self, expected_s: float, at_s: float, start_s: float) -> bool:
        longest_s = _LONGEST_GAP_S
        if self.promised_s is not None:
            longest_s = self.promised_s - (expected_s - start_s)
        return _ROUNDING_S < at_s - expected_s <= longest_s

    def _packets(self) -> Iterator[Any]:
        import av

        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, ValueError) as error:
                raise DecodingError(_reason(error)) from error
            if packet is None:
                return
            yield packet

    def _converted(self, frame: Any) -> Iterator[Samples]:
        """Yield float32 ``[n, channels]``; no block is empty."""
        import av

        parts = [frame]
        if frame.format.name != "fltp":
            # Converts only the sample format; rate and channels are converted later.
            convert = av.AudioResampler(format="fltp")
            try:
                parts = [*convert.resample(frame), *convert.resample(None)]
            except (av.error.FFmpegError, ValueError) as error:
                raise DecodingError(_reason(error)) from error
        for part in parts:
            if part.samples:
                samples = np.empty((part.samples, len(part.planes)), np.float32)
                for channel, plane in enumerate(part.planes):
                    samples[:, channel] = np.frombuffer(plane, np.float32, part.samples)
                yield samples

    def close(self) -> None:
        """Close the file."""
        self._container.close()
        self.source.close()


def _reason(error: BaseException) -> str:
    """The message of FFmpeg, without the number and the file name that av adds."""
    return str(getattr(error, "strerror", None) or error)
