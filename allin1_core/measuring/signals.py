"""Generated inputs for every stage. The same seed results in the same arrays on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from allin1_core.contracts.audio import SAMPLE_RATE, STEMS, Mix, Stems
from allin1_core.contracts.logits import HARMONIX_LABELS, Activations, Logits
from allin1_core.contracts.spectrogram import BANDS, FRAMES_PER_SECOND, LogSpectrogram


def music_stems(seconds: float, *, bpm: float = 120.0, seed: int = 0) -> Stems:
    """Generate stems with beats, in mono: decaying clicks, a bass, a chord and a swelling tone."""
    rng = np.random.default_rng(seed)
    count = round(seconds * SAMPLE_RATE)
    time = np.arange(count) / SAMPLE_RATE
    beat = time * bpm / 60
    phase = beat % 1
    drums = rng.standard_normal(count) * np.exp(-18 * phase)
    bass = np.sin(2 * np.pi * 55 * (1 + (beat // 4) % 3 / 4) * time) * np.exp(-2 * phase)
    chord = sum(np.sin(2 * np.pi * f * time) for f in (220.0, 277.2, 329.6)) / 3
    tone = np.sin(2 * np.pi * 440 * time) * (0.5 - 0.5 * np.cos(2 * np.pi * beat / 16))
    stems = np.stack([bass, drums, chord, tone]) * 0.3
    return Stems(np.ascontiguousarray(stems[:, None, :].astype(np.float32)))


def music_mix(seconds: float, *, late_samples: int = 0, seed: int = 0) -> Mix:
    """Generate the sum of :func:`music_stems` in two channels, the right one delayed by `late_samples`."""
    left = music_stems(seconds, seed=seed).samples.sum(axis=(0, 1))
    right = np.concatenate([np.zeros(late_samples, np.float32), left[: len(left) - late_samples]])
    return Mix(np.stack([left, right]))


def random_spectrogram(frames: int, *, seed: int = 0) -> LogSpectrogram:
    """Generate absolute values of normal noise, in the range of log-magnitudes of loud music."""
    values = np.random.default_rng(seed).standard_normal((len(STEMS), frames, BANDS))
    return LogSpectrogram((0.5 * np.abs(values)).astype(np.float32))


def song_logits(
    frames: int, *, bpm: float = 120.0, beats_per_bar: int = 4, seed: int = 0
) -> Logits:
    """Generate logits like those of a song: beats above a noisy floor, and a section every eight bars."""
    rng = np.random.default_rng(seed)
    beat = -7 + rng.standard_normal(frames)
    downbeat = -8.5 + rng.standard_normal(frames)
    section = -6 + 0.5 * rng.standard_normal(frames)
    interval = 60 * FRAMES_PER_SECOND / bpm
    bars_per_section = 8
    for number in range(int(frames / interval) + 1):
        centre = round(number * interval)
        for offset, weight in ((-2, 0.5), (-1, 0.8), (0, 1.0), (1, 0.8), (2, 0.5)):
            if 0 <= centre + offset < frames:
                beat[centre + offset] = -7 + 10 * weight
                if number % beats_per_bar == 0:
                    downbeat[centre + offset] = -8.5 + 11 * weight
                if number % (beats_per_bar * bars_per_section) == 0:
                    section[centre + offset] = -6 + 8 * weight
    function = rng.standard_normal((len(HARMONIX_LABELS), frames))
    part = np.arange(frames) // int(max(1, interval * beats_per_bar * bars_per_section))
    function[(2 + part % 8), np.arange(frames)] += 4
    arrays = (beat, downbeat, section, function)
    return Logits(*(array.astype(np.float32) for array in arrays))


def song_activations(
    frames: int, *, bpm: float = 120.0, beats_per_bar: int = 4, seed: int = 0
) -> Activations:
    """Generate the activations for :func:`song_logits`, computed in float64 and rounded to float32."""
    logits = song_logits(frames, bpm=bpm, beats_per_bar=beats_per_bar, seed=seed)

    def sigmoid(x: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(1 / (1 + np.exp(-x.astype(np.float64))))

    beat, downbeat = sigmoid(logits.beat), sigmoid(logits.downbeat)
    columns = np.stack(
        [np.maximum(1e-8, beat - downbeat), downbeat, 1 - (beat + downbeat) / 2], axis=1
    )
    columns /= columns.sum(axis=1, keepdims=True)
    return Activations(np.ascontiguousarray(columns[:, :2].astype(np.float32)))
