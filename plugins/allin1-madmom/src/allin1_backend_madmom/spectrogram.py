"""The stage ``spectrogram``, with madmom."""

from __future__ import annotations

import numpy as np
from allin1_core.contracts.audio import SAMPLE_RATE, STEMS, Stems
from allin1_core.contracts.spectrogram import (
    BANDS,
    FRAMES_PER_SECOND,
    WINDOW_SAMPLES,
    LogSpectrogram,
    frame_count,
)
from allin1_core.contracts.stages import Setup, Spectrogram, Task

from allin1_backend_madmom.provider import load


def create(setup: Setup) -> Spectrogram:
    """Return the stage's callable; `setup` is not used.

    Raises
    ------
    BackendError
        madmom is not installed.
    """
    madmom = load()
    signal = madmom.module("audio.signal")
    spectrogram = madmom.module("audio.spectrogram")
    framing = signal.FramedSignalProcessor(frame_size=WINDOW_SAMPLES, fps=FRAMES_PER_SECOND)
    transform = madmom.module("audio.stft").ShortTimeFourierTransformProcessor()
    filtering = spectrogram.FilteredSpectrogramProcessor(
        num_bands=12, fmin=30, fmax=17000, norm_filters=True
    )
    logarithm = spectrogram.LogarithmicSpectrogramProcessor(mul=1, add=1)

    def compute(stems: Stems, task: Task, /) -> LogSpectrogram:
        frames = np.empty((len(STEMS), frame_count(stems.samples.shape[-1]), BANDS), np.float32)
        for number, channels in enumerate(stems.samples):
            task.progress(number / len(STEMS))
            mono = signal.Signal(channels.T, sample_rate=SAMPLE_RATE, num_channels=1)
            frames[number] = logarithm(filtering(transform(framing(mono))))
        task.progress(1.0)
        return LogSpectrogram(frames)

    return compute
