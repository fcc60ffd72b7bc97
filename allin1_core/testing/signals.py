"""Seeded inputs for every stage. The same seed gives the same arrays on every machine."""

from __future__ import annotations

import numpy as np

from allin1_core.contracts.audio import SAMPLE_RATE, STEMS, Mix, Stems
from allin1_core.measuring.signals import music_mix as music_mix
from allin1_core.measuring.signals import music_stems as music_stems
from allin1_core.measuring.signals import random_spectrogram as random_spectrogram
from allin1_core.measuring.signals import song_activations as song_activations
from allin1_core.measuring.signals import song_logits as song_logits


def noise_stems(samples: int, *, channels: int = 2, seed: int = 0) -> Stems:
    """White noise at a tenth of full scale, different in every stem and channel."""
    rng = np.random.default_rng(seed)
    shape = (len(STEMS), channels, samples)
    return Stems((0.1 * rng.standard_normal(shape)).astype(np.float32))


def noise_mix(samples: int, *, seed: int = 0) -> Mix:
    """White noise at a tenth of full scale, different in both channels."""
    rng = np.random.default_rng(seed)
    return Mix((0.1 * rng.standard_normal((2, samples))).astype(np.float32))


def silent_stems(samples: int, *, channels: int = 2) -> Stems:
    """Digital silence."""
    return Stems(np.zeros((len(STEMS), channels, samples), np.float32))


def hard_stems(samples: int) -> Stems:
    """Signals that are sensitive to rounding: a full-scale chirp, a square wave, a constant, and clipped noise."""
    time = np.arange(samples) / SAMPLE_RATE
    length = max(samples / SAMPLE_RATE, 1e-3)
    chirp = np.sin(2 * np.pi * (20 * time + (20_000 - 20) / (2 * length) * time**2))
    square = np.where((time * 441.3) % 1 < 0.5, 1.0, -1.0)
    clipped = np.clip(2 * np.random.default_rng(1).standard_normal(samples), -1, 1)
    stems = np.stack([chirp, square, np.ones(samples), clipped])
    return Stems(np.ascontiguousarray(stems[:, None, :].astype(np.float32)))
