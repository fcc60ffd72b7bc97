from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference import mix_spectrogram, spectrogram
from allin1_core.testing import signals


def views(samples):
    return mix_spectrogram.create(Setup())(Mix(samples), Task()).validate().frames


def log_bands(mono):
    """The reference of stems, on one signal."""
    return spectrogram.create(Setup())(Stems(mono[np.newaxis, np.newaxis]), Task()).frames[0]


def literal(samples):
    """The definition, with the median of the logarithms, in double precision from the logarithms on."""
    left, right = samples
    mid, side = (
        log_bands(mono).astype(np.float64) for mono in ((left + right) / 2, (left - right) / 2)
    )
    padded = np.pad(mid, ((15, 15), (0, 0)), mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 31, axis=0)
    harmonic = np.median(windows, axis=-1)
    percussive = np.log10(1 + np.maximum(10**mid - 10**harmonic, 0))
    return np.stack([mid, side, percussive, harmonic])


@pytest.mark.parametrize("length", [1, 441, 442, 2049, 15 * 441, 31 * 441, 100_000, 270 * 441])
def test_the_views_are_what_their_definition_says(length):
    samples = signals.noise_mix(length, seed=length).samples
    frames, wanted = views(samples), literal(samples)
    np.testing.assert_allclose(frames[[0, 1, 3]], wanted[[0, 1, 3]], rtol=0, atol=5e-7)
    # A difference of magnitudes up to 16, known to seven digits.
    np.testing.assert_allclose(frames[2], wanted[2], rtol=0, atol=5e-6)


def test_a_click_is_percussive_and_a_tone_harmonic():
    time = np.arange(3 * 44_100) / 44_100
    tone = 0.5 * np.sin(2 * np.pi * 440 * time)
    tone[150 * 441] += 0.9
    frames = views(np.stack([tone, tone]).astype(np.float32))
    click, pitch = 150, frames[3, 75].argmax()
    assert frames[3, 20:280, pitch].min() > 1.5
    assert frames[2, 20:140, :].max() < 0.01
    assert frames[2, click, 60:].min() > 0.2
    assert frames[3, click, 60:].max() < 0.01


def test_mono_has_no_side_and_opposite_sides_have_no_mid():
    left = signals.noise_mix(20_000).samples[0]
    mono = views(np.stack([left, left]))
    assert not mono[1].any()
    opposite = views(np.stack([left, -left]))
    np.testing.assert_array_equal(opposite[1], mono[0])
    assert not opposite[[0, 2, 3]].any()


def test_silence_in_the_middle_does_not_disturb_what_is_around_it():
    samples = signals.noise_mix(400 * 441).samples
    samples[:, 100 * 441 : 300 * 441] = 0
    frames = views(samples)
    assert not frames[:, 120:280].any()
    np.testing.assert_allclose(frames[[0, 1, 3]], literal(samples)[[0, 1, 3]], rtol=0, atol=5e-7)


def test_strided_and_read_only_mixes_are_taken_and_not_modified():
    interleaved = np.random.default_rng(3).uniform(-1, 1, (9000, 2)).astype(np.float32)
    mix = interleaved.T[:, ::-1]
    mix.flags.writeable = False
    kept = interleaved.copy()
    np.testing.assert_array_equal(views(mix), views(np.ascontiguousarray(mix)))
    np.testing.assert_array_equal(interleaved, kept)


def test_memory_does_not_grow_with_the_song():
    call = mix_spectrogram.create(Setup())

    def peak_beyond_output(seconds):
        samples = signals.noise_mix(seconds * 44_100).samples
        tracemalloc.start()
        frames = call(Mix(samples), Task()).frames
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak - frames.nbytes

    assert peak_beyond_output(40) < peak_beyond_output(10) + 2**20


def test_progress_rises_to_one_and_may_cancel():
    seen = []
    mix = Mix(np.zeros((2, 100 * 44_100), np.float32))
    mix_spectrogram.create(Setup())(mix, Task(progress=seen.append))
    assert len(seen) > 2
    assert seen == sorted(seen)
    assert seen[-1] == 1

    def cancel(fraction):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mix_spectrogram.create(Setup())(mix, Task(progress=cancel))
