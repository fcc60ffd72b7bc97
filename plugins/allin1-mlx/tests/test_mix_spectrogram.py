from __future__ import annotations

import shutil
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
from allin1_core.contracts.audio import Mix
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference import mix_spectrogram as reference
from allin1_core.testing import signals

from allin1_backend_mlx.mix_spectrogram import create

#: Tolerances: declared for any signal, kept by all views but the percussive one, and reached on music.
TOLERANCE, OTHERS, ON_MUSIC = 1e-4, 2e-5, 2e-5


def mixes(length):
    """Return noise, signals that are hard for a transform, and a mix with equal channels."""
    chirp, square, constant, clipped = signals.hard_stems(length).samples[:, 0]
    noise = signals.noise_mix(length, seed=length).samples
    return [noise, *map(np.stack, ([chirp, square], [constant, clipped], [clipped, clipped]))]


def expected(samples):
    return reference.create(Setup())(Mix(samples), Task()).frames


def assert_close(actual, wanted, tolerance=TOLERANCE, others=OTHERS):
    actual = np.asarray(actual)
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=tolerance)
    np.testing.assert_allclose(actual[[0, 1, 3]], wanted[[0, 1, 3]], rtol=0, atol=others)


@pytest.mark.parametrize(
    "samples", [1, 441, 442, 2049, 15 * 441, 31 * 441, 128 * 441, 129 * 441 + 1]
)
def test_it_equals_the_reference(device, put, samples):
    call = create(Setup(device))
    for mix in mixes(samples):
        assert_close(call(Mix(put(mix)), Task()).validate().frames, expected(mix))


def test_music_is_closer_than_promised(device, put):
    samples = signals.music_mix(6.0, late_samples=300).samples
    frames = create(Setup(device))(Mix(put(samples)), Task()).frames
    assert_close(frames, expected(samples), ON_MUSIC, 2e-6)


@pytest.mark.parametrize("block", [1, 7, 500])
def test_blocks_join_without_a_seam(device, put, block):
    samples = mixes(70_001)[1]
    call = create(Setup(device))
    call = replace(call, call=replace(call.call, block=block))
    assert_close(call(Mix(put(samples)), Task()).frames, expected(samples))


def test_all_blocks_of_all_songs_have_the_same_shape(device, put):
    call = create(Setup(device))
    seen = {"filtered": set(), "parts": set()}

    def noting(name):
        def function(array):
            seen[name].add(tuple(array.shape))
            return getattr(call.call, name)(array)

        return function

    noted = replace(call.call, filtered=noting("filtered"), parts=noting("parts"), block=16)
    for samples in (1, 5000, 70_001):
        replace(call, call=noted)(Mix(put(signals.noise_mix(samples).samples)), Task())
    assert {name: len(shapes) for name, shapes in seen.items()} == {"filtered": 1, "parts": 1}


@pytest.mark.skipif(shutil.which("g++") is None, reason="MLX compiles for a CPU with g++")
def test_compiled_it_gives_the_same():
    call = create(Setup("cpu"))
    views = call.call
    compiled = replace(views, filtered=mx.compile(views.filtered), parts=mx.compile(views.parts))
    samples = mixes(50_000)[1]
    assert_close(
        replace(call, call=compiled)(Mix(mx.array(samples)), Task()).frames, expected(samples)
    )


def test_mono_has_no_side(device, put):
    frames = create(Setup(device))(Mix(put(mixes(20_000)[3])), Task()).frames
    assert not np.asarray(frames)[1].any()


def test_progress_rises_to_one(device, put):
    told = []
    create(Setup(device))(Mix(put(signals.noise_mix(900_000).samples)), Task(progress=told.append))
    assert told == sorted(told)
    assert told[-1] == 1
    assert len(told) > 2
