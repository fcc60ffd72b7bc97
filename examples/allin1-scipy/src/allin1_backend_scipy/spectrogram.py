"""The spectrogram with SciPy's FFT."""

from __future__ import annotations

import os

import numpy as np
import scipy.fft

from allin1_core.contracts.audio import Stems
from allin1_core.contracts.spectrogram import (
    BANDS,
    HOP_SAMPLES,
    WINDOW_SAMPLES,
    LogSpectrogram,
    frame_count,
)
from allin1_core.contracts.stages import Setup, Spectrogram, Task
from allin1_core.reference.filterbank import BINS, filterbank, window

#: Number of frames that are transformed at once; enough for all threads.
BLOCK_FRAMES = 1024


def create(setup: Setup) -> Spectrogram:
    """Create the callable of the stage, with the number of threads in `setup`."""
    workers = setup.threads or os.cpu_count() or 1
    hann, filters = window(), filterbank()

    def spectrogram(stems: Stems, task: Task, /) -> LogSpectrogram:
        mono = stems.samples.mean(axis=1, dtype=np.float32)
        total = frame_count(mono.shape[1])
        # Half a window of silence before the first sample, and enough after the last one.
        half = WINDOW_SAMPLES // 2
        padded = np.zeros((len(mono), total * HOP_SAMPLES + WINDOW_SAMPLES), np.float32)
        padded[:, half : half + mono.shape[1]] = mono
        frames = np.empty((len(mono), total, BANDS), np.float32)
        for stem, signal in enumerate(padded):
            windows = np.lib.stride_tricks.sliding_window_view(signal, WINDOW_SAMPLES)
            for start in range(0, total, BLOCK_FRAMES):
                stop = min(start + BLOCK_FRAMES, total)
                block = windows[start * HOP_SAMPLES : stop * HOP_SAMPLES : HOP_SAMPLES] * hann
                spectrum = scipy.fft.rfft(block, workers=workers)[:, :BINS]
                magnitudes = np.abs(spectrum.astype(np.complex64))
                frames[stem, start:stop] = np.log10(magnitudes @ filters + np.float32(1))
            task.progress((stem + 1) / len(mono))
        return LogSpectrogram(frames)

    return spectrogram
