"""Decoding by libsndfile."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np

from allin1_core.io.decoding.reader import (
    AudioInfo,
    Block,
    DecodingError,
    Samples,
    check_shape,
    frames_at_once,
)
from allin1_core.io.decoding.source import Piece, Source, Spliced, copy_in_memory

#: Length that libsndfile reports if it is unknown, also approximately, after arithmetic.
_UNKNOWN = 1 << 60

#: Smallest length that programs which write to a pipe declare in 32 bits.
_UNKNOWN_32 = 0x7FFF0000


class NotReadableError(Exception):
    """libsndfile does not support the format, or the header is damaged."""


class Decoder:
    """One file, or one part of a file, that libsndfile decodes from start to end.

    Parameters
    ----------
    source, pieces
        See :class:`~allin1_core.io.decoding.source.Spliced`.
    pcm16_full_scale
        Divisor of 16-bit PCM.

    Attributes
    ----------
    rate, channels, format, subtype
        As reported by libsndfile.
    frames
        Length according to the header, as far as libsndfile finds the samples; None if unknown.

    Raises
    ------
    NotReadableError
        libsndfile cannot open it.
    AudioError
        The header states an unsupported rate or number of channels.
    """

    def __init__(
        self,
        source: Source,
        pieces: Iterable[Piece] | None = None,
        pcm16_full_scale: int = 32_768,
    ) -> None:
        import soundfile

        self._source, self._pieces = source, None if pieces is None else [*pieces]
        self._copy: BinaryIO | None = None
        try:
            self._file = _opened(Spliced(source, self._pieces))
        # soundfile requires more arguments for headerless files.
        except TypeError as error:
            raise NotReadableError("unknown format") from error
        except soundfile.LibsndfileError as error:
            raise NotReadableError(_reason(error)) from error
        self._scale = np.float32(pcm16_full_scale)
        self.rate, self.channels = int(self._file.samplerate), int(self._file.channels)
        frames = int(self._file.frames)
        self.frames = frames if 0 <= frames < _UNKNOWN else None
        self.format, self.subtype = str(self._file.format), str(self._file.subtype)
        check_shape(source.path, self.rate, self.channels)

    @property
    def declared_frames(self) -> int | None:
        """Length according to the header, even if the file is truncated; None if unknown.

        libsndfile corrects the length of a truncated WAV or AIFF file, and reports this only in its log.
        """
        found = re.search(
            r"^ *(?:data|SSND) *: (\d+) \(should be (\d+)\)", self._file.extra_info, re.MULTILINE
        )
        if found is None or self.frames is None:
            return self.frames
        declared, actual = int(found[1]), int(found[2])
        if declared >= _UNKNOWN_32 or not actual:
            return self.frames
        return round(self.frames * declared / actual)

    def blocks(self) -> Iterator[Samples]:
        """Yield float32 ``[n, channels]``; no block is empty. To be called once.

        Raises
        ------
        DecodingError
            libsndfile cannot continue; what it decoded since the last block is lost.
        """
        import soundfile

        self._read_from_memory()
        integers = self.subtype == "PCM_16" and self._scale != 32_768
        dtype = "int16" if integers else "float32"
        left = _UNKNOWN if self.frames is None else self.frames
        while left:
            # Not more than there is: a decoder that reads further may fail on data that is not audio.
            count = min(left, frames_at_once(self.channels))
            block = np.empty((count, self.channels), dtype)
            try:
                count = self._file.buffer_read_into(block, dtype=dtype)
            except soundfile.LibsndfileError as error:
                raise DecodingError(_reason(error)) from error
            if not count:
                return
            left -= count
            block = block[:count]
            yield np.divide(block, self._scale, dtype=np.float32) if integers else block

    def close(self) -> None:
        """Close the decoder; the source stays open."""
        self._file.close()
        if self._copy is not None:
            self._copy.close()

    def _read_from_memory(self) -> None:
        """Go on with a copy of the file in memory, if there can be one."""
        import soundfile

        copy = copy_in_memory(Spliced(self._source, self._pieces))
        if copy is None:
            return
        try:
            file = _opened(copy.fileno())
        except (TypeError, soundfile.LibsndfileError):  # it changed since it was opened
            copy.close()
            return
        self._file.close()
        self._file, self._copy = file, copy


def _opened(file: Spliced | int) -> Any:
    """Open a file, or a descriptor, which is not closed with it."""
    import soundfile

    opened = soundfile.SoundFile(file, closefd=False)
    # soundfile seeks to where it already is after each block, which resets the MP3 decoder: frames
    # that need the bits of those before them come out wrong (soundfile 0.14.0, libsndfile 1.2.2).
    # It does not for files that cannot seek.
    opened.seekable = lambda: False
    return opened


def _reason(error: Any) -> str:
    """The message of libsndfile, without the prefix that soundfile adds."""
    return str(error.error_string).removeprefix("Error : ").rstrip(".")


def describe(decoder: Decoder, source: Source) -> AudioInfo:
    """Return the properties of a file whose header `decoder` has read."""
    return AudioInfo(
        path=source.path,
        sample_rate=decoder.rate,
        channels=decoder.channels,
        frames=decoder.frames,
        duration_s=None if decoder.frames is None else decoder.frames / decoder.rate,
        format=decoder.format,
        subtype=decoder.subtype,
        decoder=version(),
    )


def version() -> str:
    """Name and version of the library."""
    import soundfile

    return f"libsndfile {soundfile.__libsndfile_version__}"


class LibsndfileReader:
    """A file that libsndfile reads from start to end; see :class:`~allin1_core.io.decoding.reader.Reader`.

    Parameters
    ----------
    source
        The open file; closed with the reader.
    decoder
        Decoder of the whole file.
    guesses_length
        Whether libsndfile estimates the length from the bit rate, and stops there.
    """

    def __init__(self, source: Source, decoder: Decoder, *, guesses_length: bool = False) -> None:
        self.source, self._decoder = source, decoder
        self.info = describe(decoder, source)
        self.gaps: list[tuple[float, float]] = []
        declared = decoder.declared_frames
        self.promised_s = None if declared is None else declared / decoder.rate
        self.guessed_frames: int | None = None
        if guesses_length:
            self.guessed_frames, self.promised_s = decoder.frames, None
            self.info = dataclasses.replace(self.info, frames=None, duration_s=None)

    def blocks(self) -> Iterator[Block]:
        """Yield the audio from start to end; raises `DecodingError` if it cannot continue."""
        for samples in self._decoder.blocks():
            yield Block(samples, self._decoder.rate)

    def close(self) -> None:
        """Close the file."""
        self._decoder.close()
        self.source.close()
