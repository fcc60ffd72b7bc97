"""Reading of audio files as float32 at 44 100 Hz, whole or in blocks.

Any sample rate from 4 to 768 kHz, any sample format, and up to 64 channels. WAV, FLAC, AIFF, OGG, Opus, MP3 and others are
read by libsndfile (package soundfile); other formats, such as AAC in M4A, by the FFmpeg libraries if the package av is
installed. Audio is resampled by soxr with quality VHQ.

**Damage.** Reading continues after a damaged place. Lost samples are replaced by silence, so that times are unaffected, and
a warning says where.

**Delay.** MP3 encoders insert silence before the song, and record its length in the first frame of the file (Xing, Info,
LAME), so that it can be removed. A file without this information cannot be corrected, and starts about 25 ms late.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np

from allin1_core.contracts.arrays import first_not_finite
from allin1_core.contracts.audio import SAMPLE_RATE
from allin1_core.errors import AudioError
from allin1_core.installing import install_command
from allin1_core.io.decoding.opening import open_reader
from allin1_core.io.decoding.reader import AudioInfo, Block, DecodingError, Reader, Samples
from allin1_core.io.decoding.source import Source
from allin1_core.io.resampling import resampled

__all__ = [
    "AudioInfo",
    "AudioStream",
    "has_pyav",
    "loudness_note",
    "open_audio",
    "probe_audio",
    "read_audio",
]

#: A file may be this much shorter than its header states without a warning.
_SHORTFALL_S = 0.05

#: Peak below which a song is silent, or so quiet that it is probably damaged.
_SILENT, _QUIET = 1e-4, 1e-2

#: Shortest and longest block in which a whole file is read.
_SHORTEST_BLOCK_S, _LONGEST_BLOCK_S = 10.0, 900.0

#: Number of damaged places that a warning lists; the others are counted.
_NAMED_GAPS = 5


def probe_audio(path: str | PathLike[str]) -> AudioInfo:
    """Read a file's header.

    Raises
    ------
    AudioError
        The file is missing, cannot be opened, or is not in a supported format.
    """
    reader = open_reader(Source(Path(path)), with_av=has_pyav())
    reader.close()
    return reader.info


def read_audio(
    path: str | PathLike[str],
    *,
    channels: Literal[1, 2] = 2,
    pcm16_full_scale: int = 32_768,
    is_song: bool = True,
) -> tuple[Samples, AudioInfo]:
    """Read a whole file.

    Parameters
    ----------
    path, channels, pcm16_full_scale, is_song
        See :func:`open_audio`.

    Returns
    -------
    samples
        float32 ``[channels, n]``, 44 100 Hz.
    info
        Properties of the file, with warnings.

    Raises
    ------
    AudioError
        As for :func:`open_audio` and :meth:`AudioStream.blocks`.
    """
    with open_audio(
        path, channels=channels, pcm16_full_scale=pcm16_full_scale, is_song=is_song
    ) as stream:
        # A single block if the length is known, to avoid concatenation.
        seconds = min(stream.info.duration_s or 0.0, _LONGEST_BLOCK_S)
        blocks = list(stream.blocks(max(seconds, _SHORTEST_BLOCK_S)))
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1), stream.info


@contextmanager
def open_audio(
    path: str | PathLike[str],
    *,
    channels: Literal[1, 2] = 2,
    pcm16_full_scale: int = 32_768,
    is_song: bool = True,
) -> Iterator[AudioStream]:
    """Open a file for reading in blocks.

    Parameters
    ----------
    path
        The file.
    channels
        2 for a stereo mix of whatever the file has: mono is duplicated, 5.1 is mixed down according to ITU-R BS.775
        (left + √½ centre + √½ left surround, and likewise right; no LFE; channels in WAV order), any other number of
        channels above two is averaged. 1 for the average of these two channels.
    pcm16_full_scale
        Divisor of 16-bit samples: 32768, as usual, or 32767 for stems; see
        :func:`allin1_core.io.stems.read_stems`.
    is_song
        Whether to warn if the file is silent; a stem may be.

    Raises
    ------
    AudioError
        The file is missing, cannot be opened, or is not in a supported format.
    """
    reader = open_reader(Source(Path(path)), pcm16_full_scale, with_av=has_pyav())
    try:
        yield AudioStream(reader, channels, is_song=is_song)
    finally:
        reader.close()


class AudioStream:
    """An open audio file, to be read once from start to end. Created by :func:`open_audio`.

    Attributes
    ----------
    info
        Properties of the file; length, peak and warnings are updated at its end.
    """

    def __init__(self, reader: Reader, channels: Literal[1, 2], *, is_song: bool) -> None:
        self.info = reader.info
        self._reader = reader
        self._channels = channels
        self._is_song = is_song
        self._damage: DecodingError | None = None
        self._swing = 0.0

    def blocks(self, seconds: float = 10.0) -> Iterator[Samples]:
        """Yield the audio in consecutive blocks; concatenated, they equal the output of :func:`read_audio`.

        The memory used is bounded by the length of a block.

        Parameters
        ----------
        seconds
            Length of a block. Each but the last has exactly ``round(seconds * 44100)`` samples.

        Yields
        ------
        samples
            float32 ``[channels, n]``, 44 100 Hz.

        Raises
        ------
        AudioError
            Nothing can be decoded, reading fails, or a sample is NaN or infinite.
        """
        wanted = round(seconds * SAMPLE_RATE)
        if wanted < 1:
            raise ValueError(f"A block of {seconds} s contains no samples.")
        total, held, peak = 0, 0, 0.0
        block = np.empty((self._channels, wanted), np.float32)
        for part in resampled(self._decoded(), self._channels):
            total += len(part)
            peak = max(peak, float(part.max()), -float(part.min()))
            start = 0
            while start < len(part):
                count = min(wanted - held, len(part) - start)
                block[:, held : held + count] = part[start : start + count].T
                start += count
                held += count
                if held == wanted:
                    yield block
                    block, held = np.empty_like(block), 0
        if not total:
            raise AudioError("contains no samples.", path=self.info.path)
        if self._swing < _SILENT:  # a constant is as inaudible as silence
            peak = min(peak, self._swing)
        warnings = self._warnings(peak)
        self.info = dataclasses.replace(self.info, warnings=warnings, peak=peak)
        if held:
            yield block[:, :held].copy()

    def _decoded(self) -> Iterator[Block]:
        """Yield blocks as decoded, checked to be finite; afterwards update the length in `info`, and the swing."""
        path, reader = self.info.path, self._reader
        low: Samples | None = None
        high: Samples | None = None
        done_s, frames = 0.0, 0.0
        try:
            for block in reader.blocks():
                _check_finite(block, done_s, path)
                if self._swing < _SILENT:
                    lowest, highest = block.samples.min(axis=0), block.samples.max(axis=0)
                    if low is None or high is None or low.shape != lowest.shape:
                        low, high = lowest, highest
                    low, high = np.minimum(low, lowest), np.maximum(high, highest)
                    self._swing = max(self._swing, float((high - low).max()) / 2)
                done_s += len(block.samples) / block.rate
                frames += len(block.samples) * (self.info.sample_rate / block.rate)
                yield block
        except DecodingError as error:
            if not frames:
                reader.source.check()
                raise AudioError(f"cannot be decoded: {error}.", path=path) from error
            self._damage = error
        reader.source.check()
        self.info = dataclasses.replace(
            self.info, frames=round(frames), duration_s=round(frames) / self.info.sample_rate
        )

    def _warnings(self, peak: float) -> tuple[str, ...]:
        notes = [_gaps(self._reader.gaps), self._shortfall()]
        if self._is_song:
            notes.append(loudness_note(peak))
        return (*self.info.warnings, *(f"{self.info.path}: {note}" for note in notes if note))

    def _shortfall(self) -> str | None:
        """A sentence about missing audio at the end, or None."""
        found_s, promised_s = self.info.duration_s or 0.0, self._reader.promised_s
        if self._damage is not None:
            return f"is damaged after {found_s:.2f} s and was read up to there ({self._damage})."
        if promised_s is not None and promised_s - found_s > _SHORTFALL_S:
            return (
                f"ends after {found_s:.2f} s, although its header states {promised_s:.2f} s;"
                " it was read up to there."
            )
        if self.info.frames == self._reader.guessed_frames:
            return (
                f"does not state its length and was read up to {found_s:.2f} s, which is an estimate from its"
                f" first frame; to read the rest, if there is any, install PyAV: {install_command('allin1-core', 'av')}"
            )
        return None


def _check_finite(block: Block, start_s: float, path: Path) -> None:
    bad = first_not_finite(block.samples)
    if bad is not None:
        (frame, channel), value = bad
        raise AudioError(
            f"contains {value} at {start_s + frame / block.rate:.6f} s in channel {channel + 1}.",
            remedy="Export the audio again from its source.",
            path=path,
        )


def _gaps(gaps: Iterable[tuple[float, float]]) -> str | None:
    """A sentence about the places where silence replaces audio that could not be decoded, or None."""
    joined: list[tuple[float, float]] = []
    for start_s, end_s in sorted(gaps):
        if joined and start_s <= joined[-1][1] + _SHORTFALL_S:
            joined[-1] = (joined[-1][0], max(end_s, joined[-1][1]))
        else:
            joined.append((start_s, end_s))
    if not joined:
        return None
    places = ", ".join(f"{start_s:.2f}-{end_s:.2f} s" for start_s, end_s in joined[:_NAMED_GAPS])
    if (more := len(joined) - _NAMED_GAPS) > 0:
        places += f" and {more} more places"
    return f"is damaged at {places}; silence was inserted there."


def loudness_note(peak: float) -> str | None:
    """Return a sentence if a song with this peak is silent or nearly so, otherwise None."""
    if peak < _SILENT:
        return "is silent; the result is meaningless."
    if peak < _QUIET:
        return (
            f"is very quiet, with a peak of {20 * np.log10(peak):.0f} dB of full scale; the result may be"
            " meaningless."
        )
    return None


def has_pyav() -> bool:
    """Whether the distribution of PyAV is installed; any folder called av could be imported."""
    try:
        version("av")
    except PackageNotFoundError:
        return False
    return True
