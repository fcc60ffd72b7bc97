"""Audio files to float32 at 44 100 Hz, whole or in blocks.

Any sample rate from 4 to 768 kHz, any sample format, and up to 64 channels. WAV, FLAC, AIFF, OGG, Opus, MP3 and others are
read by libsndfile (package soundfile); what it does not know, such as AAC in M4A, by FFmpeg's libraries
where the package av is installed. Resampling is soxr's, quality VHQ.

**Damage.** Behind a damaged place reading goes on. Silence takes the place of what is lost, so that times stay what they are, and a
warning says where.

**Delay.** An MP3 encoder puts silence before the song and notes its length in the file's first frame
(Xing, Info, LAME), by which it is cut off. A file without that note cannot be
corrected by anyone, and starts about 25 ms late.
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
    "AUDIO_EXTENSIONS",
    "AudioInfo",
    "AudioStream",
    "has_pyav",
    "loudness_note",
    "open_audio",
    "probe_audio",
    "read_audio",
]

#: Extensions of files that are taken for audio where a folder is searched.
AUDIO_EXTENSIONS = frozenset(
    (
        *(".wav", ".wave", ".w64", ".rf64", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"),
        *(".flac", ".ogg", ".oga", ".opus", ".mp3"),
        *(".m4a", ".mp4", ".aac", ".mka", ".webm", ".wma", ".ac3"),
    )
)

#: A file may end this much before its header says without a word being said about it.
_SHORTFALL_S = 0.05

#: A song whose loudest sample is below these is silent, or so quiet that something went wrong with it.
_SILENT, _QUIET = 1e-4, 1e-2

#: Bounds of the blocks that a whole file is read in.
_SHORTEST_BLOCK_S, _LONGEST_BLOCK_S = 10.0, 900.0

#: So many damaged places are named; the others are counted.
_NAMED_GAPS = 5


def probe_audio(path: str | PathLike[str]) -> AudioInfo:
    """Look at a file's header.

    Raises
    ------
    AudioError
        The file is missing, cannot be opened, or is no audio that can be read here.
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
        About the file, with what was noticed while reading it.

    Raises
    ------
    AudioError
        As :func:`open_audio` and :meth:`AudioStream.blocks`.
    """
    with open_audio(
        path, channels=channels, pcm16_full_scale=pcm16_full_scale, is_song=is_song
    ) as stream:
        # A block as long as the song, if that is known: then nothing needs to be put together.
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
        2 for a mix, whatever the file has: mono is doubled, 5.1 folded down as ITU-R BS.775 says
        (left + √½ centre + √½ left surround, and likewise right; no LFE; channels in WAV order), any other count
        above two averaged into both. 1 for the average of those two.
    pcm16_full_scale
        What 16-bit samples are divided by: 32768 as everyone does, or 32767 for stems; see
        :func:`allin1_core.io.stems.read_stems`.
    is_song
        Whether it is a warning that nothing can be heard; a stem may be silent.

    Raises
    ------
    AudioError
        The file is missing, cannot be opened, or is no audio that can be read here.
    """
    reader = open_reader(Source(Path(path)), pcm16_full_scale, with_av=has_pyav())
    try:
        yield AudioStream(reader, channels, is_song=is_song)
    finally:
        reader.close()


class AudioStream:
    """An open audio file, to be read once from beginning to end. Made by :func:`open_audio`.

    Attributes
    ----------
    info
        About the file; what it says of the whole is brought up to date when the end is reached.
    """

    def __init__(self, reader: Reader, channels: Literal[1, 2], *, is_song: bool) -> None:
        self.info = reader.info
        self._reader = reader
        self._channels = channels
        self._is_song = is_song
        self._damage: DecodingError | None = None

    def blocks(self, seconds: float = 10.0) -> Iterator[Samples]:
        """Give the audio in consecutive blocks; put together, they are what :func:`read_audio` gives.

        Memory is bounded by the length of a block.

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
            raise ValueError(f"A block of {seconds} s holds no sample.")
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
            raise AudioError("holds no samples.", path=self.info.path)
        warnings = self._warnings(peak)
        self.info = dataclasses.replace(self.info, warnings=warnings, peak=peak)
        if held:
            yield block[:, :held].copy()

    def _decoded(self) -> Iterator[Block]:
        """Blocks as decoded, finite; afterwards `info` says how much there was."""
        path, reader = self.info.path, self._reader
        done_s, frames = 0.0, 0.0
        try:
            for block in reader.blocks():
                _check_finite(block, done_s, path)
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
        """A sentence on what is missing at the end, or None."""
        found_s, promised_s = self.info.duration_s or 0.0, self._reader.promised_s
        if self._damage is not None:
            return f"damaged after {found_s:.2f} s and read up to there ({self._damage})."
        if promised_s is not None and promised_s - found_s > _SHORTFALL_S:
            return (
                f"ends after {found_s:.2f} s where its header says {promised_s:.2f} s;"
                " read up to there."
            )
        if self.info.frames == self._reader.guessed_frames:
            return (
                f"has no note of its length and was read up to {found_s:.2f} s, which is a guess from its"
                f" first frame; the rest, if there is one, needs PyAV: {install_command('allin1-core', 'av')}"
            )
        return None


def _check_finite(block: Block, start_s: float, path: Path) -> None:
    bad = first_not_finite(block.samples)
    if bad is not None:
        (frame, channel), value = bad
        raise AudioError(
            f"holds {value} at {start_s + frame / block.rate:.6f} s in channel {channel + 1}.",
            remedy="Export the audio again from its source.",
            path=path,
        )


def _gaps(gaps: Iterable[tuple[float, float]]) -> str | None:
    """A sentence on the places where silence stands for what could not be decoded, or None."""
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
    return f"damaged at {places}; silence stands there."


def loudness_note(peak: float) -> str | None:
    """Give a sentence on a song whose loudest sample is `peak` and that cannot be heard, else None."""
    if peak < _SILENT:
        return "is silent; what is found in it means nothing."
    if peak < _QUIET:
        return (
            f"is very quiet, its loudest sample being {20 * np.log10(peak):.0f} dB of full scale;"
            " what is found in it may mean nothing."
        )
    return None


def has_pyav() -> bool:
    """Whether PyAV is installed: its distribution, as any folder called av can be imported."""
    try:
        version("av")
    except PackageNotFoundError:
        return False
    return True
