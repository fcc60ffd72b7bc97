"""Ready-made stems: four files, or six, of which guitar and piano are added to ``other``.

**Scale of 16-bit files.** Demucs multiplies by 32767 when it writes 16-bit stems, and allin1 1.1.0 (through madmom)
divides by 32767 again; the conversion of libsndfile divides by 32768, which changes the log spectrogram by up to 1.3e-5.
So 16-bit PCM stems are divided by 32767 here. All other sample formats are converted by libsndfile, as for a mix.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from allin1_core.contracts.audio import SAMPLE_RATE, STEMS, Stems
from allin1_core.contracts.spectrogram import HOP_SAMPLES
from allin1_core.errors import StemsError
from allin1_core.io.audio import (
    AudioInfo,
    loudness_note,
    open_audio,
    probe_audio,
    read_audio,
)
from allin1_core.io.decoding.loaders import loader_suffixes
from allin1_core.io.inputs import AUDIO_SUFFIXES

#: Tolerance for the lengths of stems, as encoders pad; the shorter ones are filled with silence.
LENGTH_TOLERANCE_S = 0.05

#: Sources of separators that have no stem of their own here: ``htdemucs_6s`` separates them from ``other``.
PARTS_OF_OTHER = ("guitar", "piano")

_PCM16_FULL_SCALE = 32_767


@dataclass(frozen=True)
class StemFiles:
    """The files of one song's stems.

    Attributes
    ----------
    bass, drums, other, vocals
        One file each.
    guitar, piano
        Optional files, which are added to `other`.
    """

    bass: Path
    drums: Path
    other: Path
    vocals: Path
    guitar: Path | None = None
    piano: Path | None = None

    @property
    def by_name(self) -> dict[str, Path]:
        """The files, in the order of :data:`~allin1_core.contracts.audio.STEMS`, then the parts of ``other``."""
        names = (*STEMS, *PARTS_OF_OTHER)
        return {name: path for name in names if (path := getattr(self, name)) is not None}

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of :attr:`by_name`, in its order."""
        return tuple(self.by_name.values())

    @cached_property
    def duration_s(self) -> float | None:
        """Length in seconds of the longest according to the headers, which are read once; None if no header states it."""
        lengths = [probe_audio(path).duration_s for path in self.paths]
        return max((s for s in lengths if s is not None), default=None)

    @property
    def source(self) -> Path:
        """The innermost folder that contains all files."""
        return Path(os.path.commonpath([path.absolute().parent for path in self.paths]))

    @property
    def name(self) -> str:
        """Name of that folder."""
        try:
            return self.source.resolve().name
        # A loop of links, or an invalid name, which is reported when the files are read.
        except (OSError, RuntimeError, ValueError):
            return self.source.name


def find_stems(folder: str | os.PathLike[str]) -> StemFiles:
    """Find bass, drums, other and vocals in a folder, by exactly these names.

    Case is ignored, and any audio extension is accepted: ``Bass.FLAC`` is the bass, ``song2_bass.wav`` is not. Files
    called ``guitar`` or ``piano`` are part of ``other``.

    Raises
    ------
    StemsError
        There is no such folder, a stem is missing, or two files match the same stem.
    """
    folder = Path(folder)
    try:
        entries = sorted(folder.iterdir())
    except FileNotFoundError as error:
        raise StemsError("does not exist.", remedy="Check its name.", path=folder) from error
    except NotADirectoryError as error:
        raise StemsError(
            "is a file.", remedy="Give the folder that holds the four stems.", path=folder
        ) from error
    except OSError as error:
        raise StemsError(f"cannot be read: {error.strerror or error}.", path=folder) from error
    except ValueError as error:
        raise StemsError(
            "is not a valid name of a folder.", remedy="Check its name.", path=folder
        ) from error
    known = AUDIO_SUFFIXES | loader_suffixes()
    audio = [entry for entry in entries if entry.suffix.lower() in known]
    candidates = {
        name: [file for file in audio if file.stem.lower() == name]
        for name in (*STEMS, *PARTS_OF_OTHER)
    }
    for name, files in candidates.items():
        if len(files) > 1:
            raise StemsError(
                f"has more than one file for {name}: {_names(files)}.",
                remedy="Keep one of them, or name the four files one by one.",
                path=folder,
            )
    missing = [name for name in STEMS if not candidates[name]]
    if missing:
        raise StemsError(
            f"has no {' and no '.join(missing)}. Its audio files are: {_names(audio) or 'none'}.",
            remedy="Rename the files to bass, drums, other and vocals, with any audio extension,"
            " or name the four files one by one.",
            path=folder,
        )
    return StemFiles(**{name: files[0] for name, files in candidates.items() if files})


def read_stems(files: StemFiles) -> tuple[Stems, list[AudioInfo], list[str]]:
    """Read the stems completely.

    Parameters
    ----------
    files
        The files. Each may have its own sample rate, format and number of channels.

    Returns
    -------
    stems
        float32 ``[4, channels, n]``, 44 100 Hz; one channel if all files are mono, otherwise two.
        16-bit PCM is divided by 32767, not 32768: see the docstring of this module.
    infos
        Properties of each file, in order.
    warnings
        Non-fatal problems of the files, one sentence each.

    Raises
    ------
    StemsError
        Their lengths differ by more than 50 ms.
    AudioError
        A file cannot be read.
    """
    channels = _common_channels(files)
    arrays, infos = [], []
    for path in files.paths:
        array, info = read_audio(
            path, channels=channels, pcm16_full_scale=_PCM16_FULL_SCALE, is_song=False
        )
        arrays.append(array)
        infos.append(info)
    lengths = [array.shape[1] for array in arrays]
    warnings = _warnings(files, infos, lengths)
    samples = np.zeros((len(STEMS), channels, max(lengths)), np.float32)
    for name, length in zip(reversed(files.by_name), lengths[::-1], strict=True):
        # Each array is released as soon as it is copied, so that long audio is not in memory twice.
        samples[_place(name), :, :length] += arrays.pop()
    return Stems(samples), infos, warnings


def stem_blocks(
    files: StemFiles, frames_per_block: int
) -> Generator[NDArray[np.float32], None, tuple[list[AudioInfo], list[str]]]:
    """Read the stems block by block, in bounded memory.

    Concatenated, the blocks equal the output of :func:`read_stems`. The infos and warnings that it returns are known at
    the end, and are the generator's return value: ``infos, warnings = yield from stem_blocks(...)``.

    Parameters
    ----------
    files
        The files.
    frames_per_block
        Length of a block in spectrogram frames of 441 samples; the last may be shorter.

    Yields
    ------
    samples
        float32 ``[4, channels, m]``, 44 100 Hz.

    Raises
    ------
    StemsError
        Their lengths differ by more than 50 ms. Raised before the first block if the headers state the lengths.
    AudioError
        A file cannot be read.
    """
    channels = _common_channels(files)
    lengths = [0] * len(files.paths)
    with ExitStack() as opened:
        streams = [
            opened.enter_context(
                open_audio(
                    path, channels=channels, pcm16_full_scale=_PCM16_FULL_SCALE, is_song=False
                )
            )
            for path in files.paths
        ]
        sources = [
            stream.blocks(frames_per_block * HOP_SAMPLES / SAMPLE_RATE) for stream in streams
        ]
        nothing = np.zeros((channels, 0), np.float32)
        while True:
            parts = [next(source, nothing) for source in sources]
            lengths = [length + part.shape[1] for length, part in zip(lengths, parts, strict=True)]
            longest = max(part.shape[1] for part in parts)
            if not longest:
                break
            _check_lengths(files, lengths)
            block = np.zeros((len(STEMS), channels, longest), np.float32)
            for name, part in zip(files.by_name, parts, strict=True):
                block[_place(name), :, : part.shape[1]] += part
            yield block
    infos = [stream.info for stream in streams]
    return infos, _warnings(files, infos, lengths)


def _place(name: str) -> int:
    """Index of the stem that a file belongs to."""
    return STEMS.index("other" if name in PARTS_OF_OTHER else name)


def _common_channels(files: StemFiles) -> Literal[1, 2]:
    """Number of channels to read all stems with; raises if the headers already show unequal lengths."""
    infos = [probe_audio(path) for path in files.paths]
    lengths = [
        None if info.frames is None else round(info.frames * SAMPLE_RATE / info.sample_rate)
        for info in infos
    ]
    _check_lengths(files, lengths)
    return 1 if all(info.channels == 1 for info in infos) else 2


def _check_lengths(files: StemFiles, lengths: Sequence[int | None]) -> None:
    known = [length for length in lengths if length is not None]
    if known and max(known) - min(known) > LENGTH_TOLERANCE_S * SAMPLE_RATE:
        raise StemsError(
            "The stems differ in length by more than"
            f" {LENGTH_TOLERANCE_S * 1000:.0f} ms: {_seconds(files, lengths)}.",
            remedy="Check that they are of the same song, and export them again with the same length.",
            path=files.source,
        )


def _warnings(files: StemFiles, infos: Sequence[AudioInfo], lengths: Sequence[int]) -> list[str]:
    _check_lengths(files, lengths)
    warnings = [warning for info in infos for warning in info.warnings]
    short = [n for n, length in zip(files.by_name, lengths, strict=True) if length < max(lengths)]
    if short:
        warnings.append(
            f"{files.source}: the stems differ in length ({_seconds(files, lengths)});"
            f" {' and '.join(short)} were filled with silence at the end."
        )
    parts = [name for name in files.by_name if name in PARTS_OF_OTHER]
    if parts:
        warnings.append(f"{files.source}: {' and '.join(parts)} were added to other.")
    if note := loudness_note(max(info.peak or 0.0 for info in infos)):
        warnings.append(f"{files.source}: {note}")
    return warnings


def _seconds(files: StemFiles, lengths: Sequence[int | None]) -> str:
    return ", ".join(
        f"{name} {length / SAMPLE_RATE:.3f} s"
        for name, length in zip(files.by_name, lengths, strict=True)
        if length is not None
    )


def _names(files: Iterable[Path]) -> str:
    return ", ".join(file.name for file in files)
