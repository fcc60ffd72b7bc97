"""Audio files to float32 at 44 100 Hz, whole or in blocks.

Any sample rate, sample format and number of channels. WAV, FLAC, AIFF, OGG, Opus, MP3 and others are read
by libsndfile (package soundfile); what it does not know, such as AAC in M4A, by FFmpeg's libraries
where the package av is installed. Resampling is soxr's, quality VHQ.

**Delay.** An MP3 encoder puts silence before the song and notes its length in the file's first frame
(Xing, Info, LAME); libsndfile 1.2.2 and FFmpeg both cut it off. A file without that note cannot be
corrected by anyone, and starts about 25 ms late.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from allin1_core.contracts.arrays import first_not_finite
from allin1_core.contracts.audio import SAMPLE_RATE
from allin1_core.errors import AudioError

#: Extensions of files that are taken for audio where a folder is searched.
AUDIO_EXTENSIONS = frozenset(
    (
        *(".wav", ".wave", ".w64", ".rf64", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"),
        *(".flac", ".ogg", ".oga", ".opus", ".mp3"),
        *(".m4a", ".mp4", ".aac", ".mka", ".webm", ".wma", ".ac3"),
    )
)

Samples = NDArray[np.float32]

#: Frames that are decoded at once. Where a damaged file stops, up to so many may be lost.
_READ_FRAMES = 16_384

#: A file may end this much before its header says without a word being said about it.
_SHORTFALL_S = 0.05

_SQRT_HALF = 0.5**0.5


@dataclass(frozen=True)
class AudioInfo:
    """What is known of an audio file.

    Attributes
    ----------
    path
        The file.
    sample_rate
        Of the file, in Hz.
    channels
        Of the file.
    frames
        Samples per channel at the file's own rate; None where the header does not say it exactly.
        Once the file has been read, what was there.
    duration_s
        Length in seconds; None where the header does not say it. Without `frames`, approximate.
    format, subtype
        Container and sample format or codec.
    decoder
        Library and version that reads it.
    warnings
        What was wrong with the file but not fatal, one sentence each; complete once it has been read.
    """

    path: Path
    sample_rate: int
    channels: int
    frames: int | None
    duration_s: float | None
    format: str
    subtype: str
    decoder: str
    warnings: tuple[str, ...] = ()


def probe_audio(path: str | PathLike[str]) -> AudioInfo:
    """Look at a file's header.

    Raises
    ------
    AudioError
        The file is missing, cannot be opened, or is no audio that can be read here.
    """
    reader = _open_reader(Path(path))
    reader.close()
    return reader.info


def read_audio(
    path: str | PathLike[str], *, channels: Literal[1, 2] = 2, pcm16_full_scale: int = 32_768
) -> tuple[Samples, AudioInfo]:
    """Read a whole file.

    Parameters
    ----------
    path, channels, pcm16_full_scale
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
    with open_audio(path, channels=channels, pcm16_full_scale=pcm16_full_scale) as stream:
        return np.concatenate(list(stream.blocks()), axis=1), stream.info


@contextmanager
def open_audio(
    path: str | PathLike[str], *, channels: Literal[1, 2] = 2, pcm16_full_scale: int = 32_768
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

    Raises
    ------
    AudioError
        The file is missing, cannot be opened, or is no audio that can be read here.
    """
    reader = _open_reader(Path(path), pcm16_full_scale)
    try:
        yield AudioStream(reader, channels)
    finally:
        reader.close()


class AudioStream:
    """An open audio file, to be read once from beginning to end. Made by :func:`open_audio`.

    Attributes
    ----------
    info
        About the file; ``frames`` and ``warnings`` are brought up to date when the end is reached.
    """

    def __init__(self, reader: _Reader, channels: Literal[1, 2]) -> None:
        self.info = reader.info
        self._reader = reader
        self._channels = channels

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
            Nothing can be decoded, or a sample is NaN or infinite.
        """
        wanted = round(seconds * SAMPLE_RATE)
        if wanted < 1:
            raise ValueError(f"A block of {seconds} s holds no sample.")
        parts: list[Samples] = []
        held = 0
        empty = True
        for part in self._resampled():
            empty = False
            parts.append(part)
            held += len(part)
            if held < wanted:
                continue
            joined = np.concatenate(parts)
            whole = held - held % wanted
            # A copy, so that the last few samples do not hold on to all the others.
            parts, held = [joined[whole:].copy()], held - whole
            for start in range(0, whole, wanted):
                yield self._channels_first(joined[start : start + wanted])
            del joined
        if empty:
            raise AudioError("holds no samples.", path=self.info.path)
        if held:
            yield self._channels_first(np.concatenate(parts))

    def _channels_first(self, block: Samples) -> Samples:
        return np.ascontiguousarray(np.broadcast_to(block.T, (self._channels, len(block))))

    def _resampled(self) -> Iterator[Samples]:
        """Blocks ``[n, 1 or 2]`` at 44.1 kHz, none empty."""
        blocks = (_fold(block, self._channels) for block in self._checked())
        if self.info.sample_rate == SAMPLE_RATE:
            yield from blocks
            return
        import soxr

        width = min(self.info.channels, self._channels)
        resampler = soxr.ResampleStream(
            self.info.sample_rate, SAMPLE_RATE, width, dtype="float32", quality="VHQ"
        )
        for block in blocks:
            if len(out := resampler.resample_chunk(block)):
                yield out
        end = np.zeros((0, width), np.float32)
        if len(out := resampler.resample_chunk(end, last=True)):
            yield out

    def _checked(self) -> Iterator[Samples]:
        """Blocks as decoded, finite; afterwards `info` says what was there."""
        path, rate = self.info.path, self.info.sample_rate
        frames = 0
        damage = None
        try:
            for block in self._reader.blocks():
                bad = first_not_finite(block)
                if bad is not None:
                    (frame, channel), value = bad
                    raise AudioError(
                        f"holds {value} at {(frames + frame) / rate:.6f} s in channel {channel + 1}.",
                        remedy="Export the audio again from its source.",
                        path=path,
                    )
                frames += len(block)
                yield block
        except _DecodingError as error:
            if not frames:
                raise AudioError(f"cannot be decoded: {error}.", path=path) from error
            damage = str(error)
        warning = _shortfall(self._reader, frames, damage)
        self.info = dataclasses.replace(
            self.info,
            frames=frames,
            duration_s=frames / rate,
            warnings=(*self.info.warnings, *([f"{path}: {warning}"] if warning else [])),
        )


def _shortfall(reader: _Reader, frames: int, damage: str | None) -> str | None:
    """A sentence on what is missing at the end, or None."""
    rate, promised = reader.info.sample_rate, reader.promised_frames
    found = f"{frames / rate:.2f} s"
    if damage is not None:
        return f"damaged after {found} and read up to there ({damage})."
    if promised is not None and promised - frames > _SHORTFALL_S * rate:
        return (
            f"ends after {found} where its header says {promised / rate:.2f} s; read up to there."
        )
    if frames == reader.limit_frames:
        return (
            f"has no note of its length and was read up to {found}, which is a guess from its first"
            " frame; the rest, if there is one, needs 'pip install allin1-core[av]'."
        )
    return None


def _fold(block: Samples, channels: int) -> Samples:
    """``[n, any]`` to ``[n, 1]`` for mono files and where one channel is wanted, else to ``[n, 2]``."""
    count = block.shape[1]
    if count == 6:
        left, right, centre, _, left_surround, right_surround = block.T
        shared = _SQRT_HALF * centre
        block = np.stack(
            (
                left + shared + _SQRT_HALF * left_surround,
                right + shared + _SQRT_HALF * right_surround,
            ),
            axis=1,
        )
    elif count > 2:
        block = np.repeat(block.mean(axis=1, keepdims=True), 2, axis=1)
    if block.shape[1] > channels:
        block = block.mean(axis=1, keepdims=True)
    return block


class _DecodingError(Exception):
    """A decoder gave up in the middle of a file."""


class _Reader(Protocol):
    """An open file.

    `promised_frames` is the length by the header where a shorter one means damage; `limit_frames` is where
    the decoder stops whether or not the file goes on. Either may be None.
    """

    info: AudioInfo
    promised_frames: int | None
    limit_frames: int | None

    def blocks(self) -> Iterator[Samples]:
        """Float32 ``[n, channels]``, none empty; raises `_DecodingError`."""

    def close(self) -> None: ...


def has_pyav() -> bool:
    """Whether PyAV is installed: its distribution, as any folder called av can be imported."""
    try:
        version("av")
    except PackageNotFoundError:
        return False
    return True


def _open_reader(path: Path, pcm16_full_scale: int = 32_768) -> _Reader:
    _check_readable(path)
    import soundfile

    with_av = has_pyav()
    # libsndfile guesses the length of an MP3 without a note of it, and stops there; FFmpeg reads on.
    if not (with_av and _is_mp3_of_unknown_length(path)):
        try:
            return _Libsndfile(path, pcm16_full_scale)
        # TypeError: soundfile wants more arguments for headerless files.
        except (soundfile.LibsndfileError, TypeError):
            pass
    if with_av:
        return _FFmpeg(path)
    raise AudioError(
        f"is not audio that libsndfile {soundfile.__libsndfile_version__} can read.",
        remedy="If it is audio, 'pip install allin1-core[av]' to read more formats,"
        " or convert it to WAV or FLAC.",
        path=path,
    )


def _check_readable(path: Path) -> None:
    try:
        if path.is_dir():
            raise AudioError(
                "is a folder, not an audio file.", remedy="Give the files in it.", path=path
            )
        if path.exists() and not path.is_file():
            raise AudioError(
                "is no ordinary file.", remedy="Write the audio to a file first.", path=path
            )
        with path.open("rb") as file:
            first = file.read(1)
    except FileNotFoundError as error:
        raise AudioError("does not exist.", remedy="Check its name.", path=path) from error
    except PermissionError as error:
        raise AudioError(
            "may not be read by this user.", remedy="Change its permissions.", path=path
        ) from error
    except OSError as error:
        raise AudioError(f"cannot be opened: {error.strerror or error}.", path=path) from error
    if not first:
        raise AudioError("is empty.", remedy="Download or export it again.", path=path)


class _Libsndfile:
    """Reads through soundfile."""

    def __init__(self, path: Path, pcm16_full_scale: int) -> None:
        import soundfile

        self._file = soundfile.SoundFile(str(path))
        # soundfile seeks to where it already is after each block, which resets the MP3 decoder: frames
        # that need the bits of those before them come out wrong (soundfile 0.14.0, libsndfile 1.2.2).
        # It does not for files that cannot seek.
        self._file.seekable = lambda: False
        self._scale = np.float32(pcm16_full_scale)
        exact = not _is_mp3_of_unknown_length(path)
        frames, rate = int(self._file.frames), int(self._file.samplerate)
        self.promised_frames = _declared_frames(self._file) if exact else None
        self.limit_frames = None if exact else frames
        self.info = AudioInfo(
            path=path,
            sample_rate=rate,
            channels=int(self._file.channels),
            frames=frames if exact else None,
            duration_s=frames / rate if exact else None,
            format=str(self._file.format),
            subtype=str(self._file.subtype),
            decoder=f"libsndfile {soundfile.__libsndfile_version__}",
        )

    def blocks(self) -> Iterator[Samples]:
        import soundfile

        integers = self.info.subtype == "PCM_16" and self._scale != 32_768
        dtype = "int16" if integers else "float32"
        while True:
            block = np.empty((_READ_FRAMES, self.info.channels), dtype)
            try:
                count = self._file.buffer_read_into(block, dtype=dtype)
            except soundfile.LibsndfileError as error:
                reason = str(error.error_string).removeprefix("Error : ").rstrip(".")
                raise _DecodingError(reason) from error
            if not count:
                return
            block = block[:count]
            yield np.divide(block, self._scale, dtype=np.float32) if integers else block

    def close(self) -> None:
        self._file.close()


def _declared_frames(file: Any) -> int:
    """Length by the header of an open SoundFile.

    libsndfile corrects the length of a WAV or AIFF file that was cut off, and says so only in its log.
    """
    frames = int(file.frames)
    found = re.search(
        r"^ *(?:data|SSND) *: (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE
    )
    if found is None:
        return frames
    declared, actual = int(found[1]), int(found[2])
    # Programs that write to a pipe cannot know the length, and declare the largest possible.
    return frames if declared >= 0x7FFF0000 or not actual else round(frames * declared / actual)


def _is_mp3_of_unknown_length(path: Path) -> bool:
    """Whether this is an MP3 file whose first frame does not tell how many follow."""
    with path.open("rb") as file:
        head = file.read(10)
        tagged = head.startswith(b"ID3") and len(head) == 10
        if tagged:
            # ID3v2 stores the length of what follows its header in four bytes of seven bits.
            high, upper, lower, low = head[6:]
            file.seek(10 + (high << 21 | upper << 14 | lower << 7 | low))
        else:
            file.seek(0)
        frame = file.read(4096)
    # Frames begin with eleven set bits, then version and layer: 01 is layer III.
    start = next(
        (at for at in range(len(frame) - 1) if frame[at] == 0xFF and frame[at + 1] & 0xE6 == 0xE2),
        None,
    )
    if start is None or not (tagged or start == 0):
        return False
    return not any(note in frame[start : start + 200] for note in (b"Xing", b"Info", b"VBRI"))


class _FFmpeg:
    """Reads through PyAV."""

    #: Containers that state a duration; for the others FFmpeg guesses one from the bit rate.
    _STATING = frozenset({"mp4", "matroska", "asf"})

    limit_frames: int | None = None

    def __init__(self, path: Path) -> None:
        import av

        try:
            self._container = av.open(str(path))
        except (av.error.FFmpegError, ValueError) as error:
            raise AudioError(
                f"is not audio that libsndfile or FFmpeg can read ({error}).",
                remedy="If it is audio, convert it to WAV or FLAC.",
                path=path,
            ) from error
        if not self._container.streams.audio:
            self._container.close()
            raise AudioError("has no audio stream.", path=path)
        self._stream = self._container.streams.audio[0]
        codec = self._stream.codec_context
        formats = self._container.format.name
        duration_s = None
        if self._container.duration and not self._STATING.isdisjoint(formats.split(",")):
            duration_s = self._container.duration / 1e6
        self.info = AudioInfo(
            path=path,
            sample_rate=int(codec.sample_rate),
            channels=int(codec.layout.nb_channels),
            frames=None,
            duration_s=duration_s,
            format=formats,
            subtype=codec.name,
            decoder="PyAV {}, libavcodec {}.{}.{}".format(
                av.__version__, *av.library_versions["libavcodec"]
            ),
        )
        self.promised_frames = (
            None if duration_s is None else round(duration_s * self.info.sample_rate)
        )

    def blocks(self) -> Iterator[Samples]:
        import av

        # Changes the sample format only; rate and channels are ours to change.
        convert = av.AudioResampler(format="fltp")
        try:
            for frame in self._container.decode(self._stream):
                for part in convert.resample(frame):
                    yield part.to_ndarray().T
            for part in convert.resample(None):
                yield part.to_ndarray().T
        # ValueError: the rate or the channels change in the middle.
        except (av.error.FFmpegError, ValueError) as error:
            raise _DecodingError(str(error)) from error

    def close(self) -> None:
        self._container.close()
