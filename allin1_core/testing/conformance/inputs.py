"""Seeded inputs for the tests of each stage: odd lengths, silence, and signals that are sensitive to rounding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from allin1_core.contracts.audio import Mix
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.logits import Activations, Logits
from allin1_core.contracts.spectrogram import HOP_SAMPLES, MEDIAN_REACH
from allin1_core.testing import signals

#: Pairs of name and input.
Inputs = Iterator[tuple[str, Any]]


def mixes() -> Inputs:
    """Short songs of odd lengths, silence, and a loud signal."""
    for samples in (1, 441, 30_001):
        yield f"noise, {samples} samples", signals.noise_mix(samples, seed=samples)
    yield "silence", Mix(np.zeros((2, 20_000), np.float32))
    loud = signals.hard_stems(15_000).samples[0]
    yield "a loud chirp on one side", Mix(np.concatenate([loud, 0 * loud]))


def stems() -> Inputs:
    """Lengths around the hop and the window, noise, silence, and signals that are sensitive to rounding."""
    for samples in (1, 2, 440, 441, 442, 2047, 2048, 2049, 44_101):
        yield f"noise, {samples} samples", signals.noise_stems(samples, seed=samples)
    yield "mono", signals.noise_stems(5000, channels=1)
    yield "silence", signals.silent_stems(30_000)
    yield "hard signals", signals.hard_stems(150_000)
    yield "music", signals.music_stems(4.0)


def mixes_for_views() -> Inputs:
    """Lengths around hop, window and median, noise, silence, mono, and signals that are sensitive to rounding."""
    frames = (MEDIAN_REACH - 1, MEDIAN_REACH, MEDIAN_REACH + 1, 2 * MEDIAN_REACH + 1)
    for samples in (1, 440, 441, 442, 2048, 2049, *(HOP_SAMPLES * n for n in frames), 44_101):
        yield f"noise, {samples} samples", signals.noise_mix(samples, seed=samples)
    yield "silence", Mix(np.zeros((2, 30_000), np.float32))
    chirp, square, constant, clipped = signals.hard_stems(150_000).samples[:, 0]
    yield "a chirp and a square wave", Mix(np.stack([chirp, square]))
    yield "a constant and clipped noise", Mix(np.stack([constant, clipped]))
    yield "music in mono", signals.music_mix(4.0)
    yield "music, one side late", Mix(signals.music_mix(4.0, late_samples=300).samples)


def spectrograms() -> Inputs:
    """All short lengths, for which attention windows are shifted most, and some longer ones."""
    for frames in (*range(1, 41), 101, 333, 1030):
        yield f"{frames} frames", signals.random_spectrogram(frames, seed=frames)


def logits() -> Inputs:
    """One frame, songs, and logits for which the sigmoid saturates."""
    for frames in (1, 7, 1000):
        yield f"{frames} frames", signals.song_logits(frames, seed=frames)
    song = signals.song_logits(500)
    yield "saturated", Logits(40 * song.beat, 40 * song.downbeat, song.section, song.function)


def activations() -> Inputs:
    """Songs in several metres, one frame, silence, noise, and values that are NaN."""
    for frames, bpm, metre in ((1, 120, 4), (50, 100, 4), (3000, 128, 4), (3000, 93, 3)):
        song = signals.song_activations(frames, bpm=bpm, beats_per_bar=metre, seed=frames)
        yield f"{frames} frames of {metre}/4 at {bpm} bpm", song
    yield "silence", Activations(np.zeros((700, 2), np.float32))
    noise = np.random.default_rng(2).random((1500, 2)) * 0.5
    yield "noise", Activations(noise.astype(np.float32))
    yield "float64", Activations(noise[:800])
    broken = signals.song_activations(900).values.copy()
    broken[400] = np.nan
    yield "NaN", Activations(broken)


def logits_for_sections() -> Inputs:
    """One frame, songs, a constant, and noise."""
    for frames in (1, 7, 500, 9001):
        yield f"{frames} frames", signals.song_logits(frames, seed=frames)
    song = signals.song_logits(3000)
    yield "no boundary", Logits(song.beat, song.downbeat, 0 * song.section, song.function)
    rng = np.random.default_rng(4)
    noise = rng.standard_normal(6000).astype(np.float32)
    function = rng.standard_normal((10, 6000)).astype(np.float32)
    yield "noise", Logits(noise, noise, noise, function)


_INPUTS: dict[str, Callable[[], Inputs]] = {
    "demix": mixes,
    "spectrogram": stems,
    "nn": spectrograms,
    "metrical_prep": logits,
    "metrical_dbn": activations,
    "functional": logits_for_sections,
}

_SAMPLES: dict[str, Callable[[], Any]] = {
    "demix": lambda: signals.noise_mix(50_000),
    "spectrogram": lambda: signals.noise_stems(50_000),
    "nn": lambda: signals.random_spectrogram(57),
    "metrical_prep": lambda: signals.song_logits(500),
    "metrical_dbn": lambda: signals.song_activations(500),
    "functional": lambda: signals.song_logits(500),
}


def inputs_of(record: Backend[Any]) -> Inputs:
    """Return inputs for the first stage that a backend covers."""
    return mixes_for_views() if record.takes == "mix" else _INPUTS[record.stages[0]]()


def sample_of(record: Backend[Any]) -> Any:
    """Return one short input for the first stage that a backend covers."""
    if record.takes == "mix":
        return signals.music_mix(1.2, late_samples=300)
    return _SAMPLES[record.stages[0]]()
