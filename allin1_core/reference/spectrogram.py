"""The spectrogram in NumPy.

Reproduces the log-filterbank spectrogram of madmom 0.17.dev0 (commit 27f032e) within 4e-7: frames of 2048 samples every
441, a Hann window, a transform in double precision rounded to complex64, magnitudes through the filterbank, ``log10(1 +
x)``. A transform in single precision is not used, because its error would be up to 1e-5 for a chirp at full scale.

Processes blocks of frames, so that its own memory usage does not grow with the song.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from allin1_core.contracts.audio import Stems
from allin1_core.contracts.spectrogram import (
    BANDS,
    HOP_SAMPLES,
    WINDOW_SAMPLES,
    LogSpectrogram,
    frame_count,
)
from allin1_core.contracts.stages import Setup, Spectrogram, Task
from allin1_core.reference.filterbank import filterbank, window

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Number of frames in a block: their transform, 2 MB, stays in a core's own cache.
BLOCK_FRAMES = 128

#: Blocks between two progress reports, about 0.1 s of work.
BLOCKS_PER_REPORT = 64

#: First band of each part of the filterbank. A part needs only the bins that its bands cover; four products with parts,
#: instead of one with the whole matrix, reduce the time of the stage by a seventh.
PART_STARTS = (0, 30, 48, 66)


def create(setup: Setup) -> Spectrogram:
    """Return the stage's callable; `setup` is not used."""
    analysis_window = window()
    parts = filterbank_parts()

    def spectrogram(stems: Stems, task: Task, /) -> LogSpectrogram:
        samples = stems.samples
        stem_count, _, length = samples.shape
        total = frame_count(length)
        frames = np.empty((stem_count, total, BANDS), np.float32)
        blocks = [
            (stem, start) for stem in range(stem_count) for start in range(0, total, BLOCK_FRAMES)
        ]
        for done, (stem, start) in enumerate(blocks):
            if done % BLOCKS_PER_REPORT == 0:
                task.progress(done / len(blocks))
            stop = min(start + BLOCK_FRAMES, total)
            signal = _mono_excerpt(
                samples[stem],
                start * HOP_SAMPLES - WINDOW_SAMPLES // 2,
                (stop - 1) * HOP_SAMPLES + WINDOW_SAMPLES // 2,
            )
            windowed = sliding_window_view(signal, WINDOW_SAMPLES)[::HOP_SAMPLES] * analysis_window
            _log_bands(windowed, parts, frames[stem, start:stop])
        task.progress(1.0)
        return LogSpectrogram(frames)

    return spectrogram


def filterbank_parts() -> list[tuple[slice, slice, NDArray[np.float32]]]:
    """Bins, bands and weights of each part of the filterbank, without the zeros around it."""
    filters = filterbank()
    parts = []
    for first, last in zip(PART_STARTS, (*PART_STARTS[1:], BANDS), strict=True):
        used = np.flatnonzero(filters[:, first:last].any(axis=1))
        bins = slice(int(used[0]), int(used[-1]) + 1)
        bands = slice(first, last)
        parts.append((bins, bands, np.ascontiguousarray(filters[bins, bands])))
    return parts


def _mono_excerpt(channels: NDArray[Any], start: int, stop: int) -> NDArray[np.float32]:
    """Mean of the channels in samples `start` to `stop`, zero outside the signal."""
    length = channels.shape[1]
    first, last = max(start, 0), min(stop, length)
    mono = np.zeros(stop - start, np.float32)
    np.mean(channels[:, first:last], axis=0, out=mono[first - start : last - start])
    return mono


def _log_bands(
    windowed: NDArray[np.float64],
    parts: list[tuple[slice, slice, NDArray[np.float32]]],
    out: NDArray[np.float32],
) -> None:
    """Write the log-filtered magnitudes of windowed frames to `out`, ``[frames, 81]``."""
    lowest, highest = parts[0][0].start, parts[-1][0].stop
    transform = np.fft.rfft(windowed)[:, lowest:highest].astype(np.complex64)
    magnitudes = np.abs(transform)
    for bins, bands, weights in parts:
        out[:, bands] = magnitudes[:, bins.start - lowest : bins.stop - lowest] @ weights
    out += 1.0
    np.log10(out, out=out)
