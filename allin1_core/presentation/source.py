"""The audio that a result was made from, read in blocks, and its peaks for a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from allin1_core.contracts.audio import SAMPLE_RATE
from allin1_core.contracts.result import AnalysisResult
from allin1_core.contracts.spectrogram import FRAMES_PER_SECOND
from allin1_core.errors import AudioError, StemsError
from allin1_core.io.audio import open_audio
from allin1_core.io.stems import StemFiles, find_stems, stem_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Length of the blocks that are read, in seconds.
BLOCK_S = 10.0


def stems_of(result: AnalysisResult) -> StemFiles | None:
    """Find the stems that a result was computed from, if they still exist."""
    path = Path(result.path)
    if path.is_dir():
        try:
            return find_stems(path)
        except StemsError:
            return None
    given = result.provenance.input if result.provenance else {}
    if given.get("kind") != "stems":
        return None
    paths = [Path(str(file.get("path"))) for file in given.get("files", ())]
    try:
        folders = {file.parent for file in paths if file.is_file()}
        return find_stems(folders.pop()) if len(folders) == 1 else None
    except StemsError:
        return None


def mix_blocks(result: AnalysisResult) -> Iterator[NDArray[np.float32]]:
    """Read the song of a result: its file, or otherwise the sum of its stems.

    Yields
    ------
    ndarray
        float32 ``[2, n]``, 44 100 Hz, consecutive.

    Raises
    ------
    AudioError
        Neither the file nor its stems exist, or they cannot be read.
    """
    path = Path(result.path)
    if path.is_file():
        with open_audio(path, channels=2) as stream:
            yield from stream.blocks(BLOCK_S)
        return
    stems = stems_of(result)
    if stems is None:
        raise AudioError(
            "The audio of this result does not exist.",
            remedy="Move it back to this path, or analyse it again.",
            path=path,
        )
    for samples in stem_blocks(stems, round(BLOCK_S * FRAMES_PER_SECOND)):
        block = samples.sum(axis=0)
        yield np.repeat(block, 2, axis=0) if block.shape[0] == 1 else block


def stem_peak_blocks(stems: StemFiles) -> Iterator[NDArray[np.float32]]:
    """Read stems in blocks of float32 ``[4, n]``, averaged to mono."""
    for samples in stem_blocks(stems, round(BLOCK_S * FRAMES_PER_SECOND)):
        yield samples.mean(axis=1)


def peaks_of(blocks: Iterator[NDArray[np.float32]], per_second: int = 100) -> NDArray[np.float32]:
    """Reduce audio to the peak magnitude in each interval of time.

    Parameters
    ----------
    blocks
        float32 ``[channels, n]``, consecutive, 44 100 Hz.
    per_second
        Intervals per second; a divisor of 44 100.

    Returns
    -------
    ndarray
        float32 ``[channels, T]``, 0 to 1 for audio that does not clip. The memory used is that of a block and the result.

    Raises
    ------
    ValueError
        `per_second` is not a divisor of 44 100.
    """
    length, rest = divmod(SAMPLE_RATE, per_second)
    if rest:
        raise ValueError(f"{per_second} is not a divisor of {SAMPLE_RATE}.")
    parts: list[NDArray[np.float32]] = []
    left: NDArray[np.float32] | None = None
    for block in blocks:
        samples = np.abs(block) if left is None else np.concatenate([left, np.abs(block)], axis=1)
        whole = samples.shape[1] // length
        channels = samples.shape[0]
        parts.append(samples[:, : whole * length].reshape(channels, whole, length).max(axis=2))
        left = samples[:, whole * length :]
    if left is not None and left.shape[1]:
        parts.append(left.max(axis=1, keepdims=True))
    return np.concatenate(parts, axis=1) if parts else np.zeros((1, 0), np.float32)
