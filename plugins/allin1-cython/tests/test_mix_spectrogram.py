"""The spectrogram of a mix: every instruction set against the core's reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from allin1_backend_cython._isa import instruction_sets
from allin1_backend_cython._spectrogram import Transform
from allin1_backend_cython.frame_transform import FRAMES_PER_PART
from allin1_backend_cython.mix_spectrogram import MixSpectrogram, create
from allin1_backend_cython.spectrogram_tables import tables
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from allin1_core.contracts.audio import Mix
from allin1_core.contracts.spectrogram import BANDS, HOP_SAMPLES
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference import mix_spectrogram as reference
from allin1_core.reference.running_median import neighbours, running_median
from allin1_core.runtime.blocks import MIX_CONTEXT_FRAMES, spectrogram_in_blocks
from allin1_core.testing import signals


def views(samples: NDArray[Any], isa: str | None = None, threads: int = 1) -> NDArray[Any]:
    frames = MixSpectrogram(threads, instructions=isa)(Mix(samples), Task()).frames
    return np.asarray(frames)


def expected(samples: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(reference.create(Setup())(Mix(samples), Task()).frames)


def hard_mixes(length: int) -> list[NDArray[np.float32]]:
    chirp, square, constant, clipped = signals.hard_stems(length).samples[:, 0]
    return [np.stack([chirp, square]), np.stack([constant, clipped]), np.stack([square, square])]


@pytest.mark.parametrize("frames", [1, 8, 14, 15, 16, 31, 32, 100])
def test_it_equals_the_reference(isa: str, frames: int) -> None:
    for samples in hard_mixes(frames * HOP_SAMPLES - 3):
        np.testing.assert_allclose(views(samples, isa), expected(samples), rtol=0, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(length=st.integers(1, 30_000), seed=st.integers(0, 2**32 - 1))
def test_any_length_equals_the_reference(length: int, seed: int) -> None:
    samples = np.random.default_rng(seed).uniform(-1, 1, (2, length)).astype(np.float32)
    np.testing.assert_allclose(views(samples), expected(samples), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kinds", [1, 2, 5, 10_000])
@pytest.mark.parametrize("total", [1, 2, 15, 16, 31, 77])
def test_the_running_median_is_exact(isa: str, total: int, kinds: int) -> None:
    # Few distinct values, so that windows contain many equal ones.
    magnitudes = np.random.default_rng(total).integers(0, kinds, (total, BANDS)).astype(np.float32)
    transform = Transform(tables(), isa)
    around = magnitudes[neighbours(0, total, total)]
    median = running_median(around, np.minimum, np.maximum, np.where)
    wanted = [np.maximum(magnitudes - median, 0), median]
    for each in wanted:
        transform.logarithms(each)
    for first, count in ((0, total), (total // 3, 1), (total // 2, total - total // 2)):
        made = np.full((2, count, BANDS), np.nan, np.float32)
        transform.separate(magnitudes, first, *made)
        np.testing.assert_array_equal(made, [each[first : first + count] for each in wanted])


def test_threads_and_blocks_do_not_change_a_bit(isa: str) -> None:
    samples = signals.noise_mix((2 * FRAMES_PER_PART + 3) * HOP_SAMPLES + 17).samples
    one = views(samples, isa)
    for threads in (2, 3):
        np.testing.assert_array_equal(views(samples, isa, threads), one)
    call = MixSpectrogram(2, instructions=isa)
    for frames in (MIX_CONTEXT_FRAMES, 201):
        size = frames * HOP_SAMPLES
        blocks = [Mix(samples[:, i : i + size]) for i in range(0, samples.shape[1], size)]
        joined = spectrogram_in_blocks(blocks, lambda mix: call(mix, Task())).frames
        np.testing.assert_array_equal(joined, one)


def test_a_silent_side_is_zero_and_does_not_change_mid(isa: str) -> None:
    left = signals.noise_mix(300 * HOP_SAMPLES).samples[0].copy()
    left[100 * HOP_SAMPLES : 200 * HOP_SAMPLES] = -0.0
    frames = views(np.stack([left, left]), isa)
    assert not frames[1].any()
    assert not frames[:, 120:180].any()
    np.testing.assert_allclose(frames, expected(np.stack([left, left])), rtol=0, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_affect_the_same_frames_of_mid_and_side_as_in_the_reference(
    isa: str, value: float
) -> None:
    samples = signals.noise_mix(60_000).samples.copy()
    samples[0, 30_000] = value
    with np.errstate(invalid="ignore"):
        wanted = expected(samples)
    finite = np.isfinite(wanted[:2])
    assert not finite.all()
    np.testing.assert_array_equal(np.isfinite(views(samples, isa)[:2]), finite)


def test_any_layout_is_read() -> None:
    samples = signals.noise_mix(9000).samples
    wanted = views(samples)
    read_only = samples.copy()
    read_only.setflags(write=False)
    turned = np.ascontiguousarray(samples.T).T
    backwards = np.ascontiguousarray(samples[:, ::-1])[:, ::-1]
    swapped = np.ascontiguousarray(samples[::-1])[::-1]
    for changed in (turned, backwards, swapped, read_only, samples.astype(np.float64)):
        np.testing.assert_array_equal(views(changed), wanted)


def test_an_exception_from_progress_propagates() -> None:
    def stop(fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create(Setup(threads=2))(signals.noise_mix(44_100), Task(progress=stop))


def test_arrays_of_wrong_shapes_are_refused() -> None:
    transform = Transform(tables(), instruction_sets()[0])
    mid, out = np.zeros((10, BANDS), np.float32), np.zeros((4, BANDS), np.float32)
    with pytest.raises(ValueError, match="within those of mid"):
        transform.separate(mid, 7, out, out.copy())
    with pytest.raises(ValueError, match="within those of mid"):
        transform.separate(mid, -1, out, out.copy())
    with pytest.raises(ValueError, match="16 bands or more"):
        transform.separate(np.zeros((10, 80), np.float32), 0, out, out.copy())
    with pytest.raises(ValueError, match="percussive and harmonic"):
        transform.separate(mid, 0, out, np.zeros((3, BANDS), np.float32))
    with pytest.raises(ValueError, match="1 or 2"):
        transform.magnitudes(np.zeros((3, 100), np.float32), 0, out, True)
