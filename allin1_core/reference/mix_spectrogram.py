"""The spectrogram of a mix in NumPy: mid, side, percussive and harmonic parts.

The filtered magnitudes of mid and side are computed in double precision and rounded to float32 once; everything else is
derived from them. Implementations that also round once therefore agree bit for bit almost everywhere. The percussive
part is a difference of magnitudes that may be large: if one of 500 is rounded in the other direction, which happens
about once in 1e9, the difference is 3e-5.

Processes blocks of frames, so that its own memory usage does not grow with the song.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from allin1_core.contracts.audio import Mix
from allin1_core.contracts.spectrogram import (
    BANDS,
    HOP_SAMPLES,
    VIEWS,
    WINDOW_SAMPLES,
    LogSpectrogram,
    frame_count,
)
from allin1_core.contracts.stages import MixSpectrogram, Setup, Task
from allin1_core.reference.filterbank import window
from allin1_core.reference.running_median import neighbours, running_median
from allin1_core.reference.spectrogram import BLOCK_FRAMES, filterbank_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Blocks between two progress reports, about 0.1 s of work.
BLOCKS_PER_REPORT = 32

#: Frames whose medians are computed at a time: most of the 5 MB to be sorted stay in the second-level cache.
MEDIAN_FRAMES = 256

#: The filterbank's parts: bins, bands, weights.
Parts = list[tuple[slice, slice, "NDArray[np.float64]"]]


def create(setup: Setup) -> MixSpectrogram:
    """Return the stage's callable; `setup` is not used."""
    analysis_window = window()
    parts = [
        (bins, bands, weights.astype(np.float64)) for bins, bands, weights in filterbank_parts()
    ]

    def mix_spectrogram(mix: Mix, task: Task, /) -> LogSpectrogram:
        total = frame_count(mix.samples.shape[1])
        frames = np.zeros((len(VIEWS), total, BANDS), np.float32)
        starts = range(0, total, BLOCK_FRAMES)
        for done, start in enumerate(starts):
            if done % BLOCKS_PER_REPORT == 0:
                task.progress(done / len(starts))
            stop = min(start + BLOCK_FRAMES, total)
            for signal, out in zip(_mid_and_side(mix, start, stop), frames, strict=False):
                if signal.any():
                    framed = sliding_window_view(signal, WINDOW_SAMPLES)[::HOP_SAMPLES]
                    _bands(framed * analysis_window, parts, out[start:stop])
        for start in range(0, total, MEDIAN_FRAMES):
            _separate(frames, start, min(start + MEDIAN_FRAMES, total))
        for start in starts:
            block = frames[:, start : start + BLOCK_FRAMES]
            block += 1.0
            np.log10(block, out=block)
        task.progress(1.0)
        return LogSpectrogram(frames)

    return mix_spectrogram


def _mid_and_side(mix: Mix, first: int, stop: int) -> NDArray[np.float32]:
    """Half of the sum and difference of the channels in some frames, ``[2, samples]``, zero outside the signal."""
    start = first * HOP_SAMPLES - WINDOW_SAMPLES // 2
    end = (stop - 1) * HOP_SAMPLES + WINDOW_SAMPLES // 2
    low, high = max(start, 0), min(end, mix.samples.shape[1])
    left, right = mix.samples[:, low:high]
    signals = np.zeros((2, end - start), np.float32)
    inside = signals[:, low - start : high - start]
    np.add(left, right, out=inside[0])
    np.subtract(left, right, out=inside[1])
    inside *= np.float32(0.5)
    return signals


def _bands(windowed: NDArray[np.float64], parts: Parts, out: NDArray[np.float32]) -> None:
    """Write the filtered magnitudes of windowed frames to `out`, ``[frames, 81]``."""
    lowest, highest = parts[0][0].start, parts[-1][0].stop
    transform = np.fft.rfft(windowed)[:, lowest:highest]
    magnitudes = np.square(transform.real)
    magnitudes += np.square(transform.imag)
    np.sqrt(magnitudes, out=magnitudes)
    for bins, bands, weights in parts:
        out[:, bands] = magnitudes[:, bins.start - lowest : bins.stop - lowest] @ weights


def _separate(frames: NDArray[np.float32], start: int, stop: int) -> None:
    """Split mid, still as magnitudes, into percussive and harmonic."""
    mid, _, percussive, harmonic = frames
    around = mid[neighbours(start, stop, len(mid))]
    harmonic[start:stop] = running_median(around, np.minimum, np.maximum, np.where)
    np.subtract(mid[start:stop], harmonic[start:stop], out=percussive[start:stop])
    np.maximum(percussive[start:stop], 0.0, out=percussive[start:stop])
