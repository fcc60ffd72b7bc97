from __future__ import annotations

import os
import shutil
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
import scipy.special
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference import network as reference
from allin1_core.testing.conformance.network import FIELDS
from allin1_core.testing.conformance.original import golden_spectrogram
from allin1_core.testing.weights import random_model
from hypothesis import given, settings
from hypothesis import strategies as st

from allin1_backend_mlx.network import (
    Sizes,
    create,
    exact_length,
    group_size,
    make_steps,
    shared_length,
)
from allin1_backend_mlx.network_layers import gelu
from allin1_backend_mlx.network_parameters import position_table
from allin1_backend_mlx.network_time import attend_in_windows

#: Tolerance that the backends declare.
TOLERANCE = 2e-5


def random_spectrogram(frames, seed=None):
    return golden_spectrogram(frames, seed).frames


def exact(model, spectrogram, embeddings=False):
    """Run the reference in float64."""
    call = reference.create(Setup(model=model, threads=2), dtype=np.float64)
    return call(LogSpectrogram(spectrogram), Task(embeddings=embeddings))


def assert_equal(actual, wanted, fields=FIELDS):
    for field in fields:
        np.testing.assert_allclose(
            np.asarray(getattr(actual, field)),
            getattr(wanted, field),
            rtol=0,
            atol=TOLERANCE,
            err_msg=field,
        )


@pytest.fixture(scope="module")
def model():
    return random_model(3)


@pytest.fixture(scope="module")
def wanted(model):
    """Outputs of the reference, computed once for each length."""
    answers = {}

    def at(frames):
        if frames not in answers:
            answers[frames] = exact(model, random_spectrogram(frames), embeddings=True)
        return answers[frames]

    return at


@pytest.mark.parametrize("computed_length", [exact_length, shared_length])
@pytest.mark.parametrize("frames", [*range(1, 41), 63, 64, 65, 333])
def test_it_equals_the_reference_at_every_length(
    device, put, model, wanted, frames, computed_length
):
    call = create(Setup(device, model))
    call = replace(call, call=replace(call.call, computed_length=computed_length))
    logits = call(LogSpectrogram(put(random_spectrogram(frames))), Task(embeddings=True))
    logits.validate()
    assert_equal(logits, wanted(frames), (*FIELDS, "embeddings"))


@pytest.mark.parametrize("frames", [3, 29, 101])
def test_tiles_of_the_front_end_join_without_a_seam(device, put, model, wanted, frames):
    call = create(Setup(device, model))
    for tile in (1, 2, 7, 64):
        sizes = replace(call.call.sizes, front_end=tile)
        tiled = replace(call, call=replace(call.call, sizes=sizes))
        assert_equal(tiled(LogSpectrogram(put(random_spectrogram(frames))), Task()), wanted(frames))


@settings(max_examples=60, deadline=None)
@given(
    step=st.integers(1, 12),
    length=st.integers(1, 130),
    more=st.integers(0, 40),
    dilations=st.sampled_from([5, 10]),
    seed=st.integers(0, 99),
)
def test_windows_are_those_of_the_definition(step, length, more, dilations, seed):
    # A window is centred within the query's residue class modulo the step, and shifted at the ends.
    least = dilations * step
    rng = np.random.default_rng(seed)
    queries, keys, values = rng.standard_normal((3, 1, length + more, 4, 24)).astype(np.float32)
    keys[:, length:] = values[:, length:] = 0
    rpb = rng.standard_normal((9, 2)).astype(np.float32)  # by the offset of the key from -4
    bias = np.stack([rpb[4 - before : 9 - before] for before in range(5)])[None]
    context = attend_in_windows(
        *map(mx.array, (queries, keys, values, bias)),
        step=step,
        length=mx.array(length),
        least=least,
    )
    padded = max(length, least)
    keys, values = (
        np.concatenate([a[0], np.zeros((max(0, padded - a.shape[1]), 4, 24))])
        for a in (keys, values)
    )
    for query in range(length):
        residue, place = query % step, query // step
        members = -(-(padded - residue) // step)
        window = min(max(place - 2, 0), members - 5) + np.arange(5)
        frames = residue + step * window
        q = queries[0, query].reshape(4, 2, 12)
        k, v = (a[frames].reshape(5, 4, 2, 12) for a in (keys, values))
        scores = np.einsum("ihc,kihc->kih", q, k) + rpb[window - place + 4][:, None]
        weights = scipy.special.softmax(scores, axis=0)
        expected = np.einsum("kih,kihc->ihc", weights, v).reshape(4, 24)
        np.testing.assert_allclose(np.asarray(context)[0, query], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("queries", "starts", "keys"),
    [([0, 1], [0, 0], 5), ([2, 3, 4, 5], [0, 1, 2, 3], 8), ([3, 4], [0, 0], 5)],
)
def test_every_query_of_the_instrument_layer_sees_twenty_five_keys(queries, starts, keys):
    table = position_table(np.zeros((2, 9, 9)), queries, starts, keys)
    np.testing.assert_allclose(np.exp(table).sum(-1), 25)


def test_gelu_is_exact_to_single_precision():
    x = np.linspace(-8, 8, 20_001).astype(np.float32)
    exact_gelu = x * scipy.special.ndtr(x.astype(np.float64))
    np.testing.assert_allclose(np.asarray(gelu(mx.array(x))), exact_gelu, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("folds", "frames"), [((0,), 1000), (tuple(range(8)), 100)])
def test_it_equals_the_reference_on_a_real_song(device, put, golden, trained, folds, frames):
    spectrogram = golden("francium_excerpt.npz")["spec_first_3000_frames"][:, :frames]
    model = trained(*folds)
    logits = create(Setup(device, model))(LogSpectrogram(put(spectrogram)), Task())
    assert_equal(logits, exact(model, spectrogram))


def test_members_in_groups_are_the_members_at_once(device, put):
    several = random_model(3, members=4)
    spectrogram = random_spectrogram(57)
    call = create(Setup(device, several))
    answer = exact(several, spectrogram, embeddings=True)
    assert answer.embeddings.shape == (4, 57, 24, 4)
    for layers in (1, 2 * 64, 10_000):
        sizes = Sizes(front_end=1000, layers=layers)
        grouped = replace(call, call=replace(call.call, sizes=sizes))
        logits = grouped(LogSpectrogram(put(spectrogram)), Task(embeddings=True)).validate()
        assert_equal(logits, answer, (*FIELDS, "embeddings"))


@given(st.integers(1, 12), st.integers(0, 20))
def test_groups_are_of_one_size_and_as_large_as_allowed(members, most):
    size = group_size(members, most)
    assert members % size == 0
    assert size <= max(1, most)
    assert not any(members % n == 0 for n in range(size + 1, min(members, most) + 1))


@given(st.integers(1, 400_000))
def test_a_shared_length_holds_the_song_and_little_more(frames):
    length = shared_length(frames)
    assert length >= max(frames, 5)
    assert length - frames <= max(63, frames / 8)


def test_songs_of_similar_lengths_share_their_shapes(model):
    # Functions are compiled for shapes, so no shape may depend on the exact length of a song.
    seen = set()

    def noting(function):
        def noted(*arguments):
            shapes = [a.shape for a in arguments if isinstance(a, mx.array)]
            seen.add((id(function), str(shapes)))
            return function(*arguments)

        return noted

    ensemble = replace(
        create(Setup("cpu", model)).call,
        computed_length=shared_length,
        steps=make_steps(noting),
        sizes=Sizes(front_end=16, layers=512),
    )
    ensemble(LogSpectrogram(mx.array(random_spectrogram(64))), Task())
    once = set(seen)
    assert len(once) == 14
    for frames in (1, 5, 40, 63):
        ensemble(LogSpectrogram(mx.array(random_spectrogram(frames))), Task())
    assert seen == once


@pytest.mark.skipif(shutil.which("g++") is None, reason="MLX compiles for a CPU with g++")
@pytest.mark.skipif(
    not os.environ.get("ALLIN1_TEST_BUILDS"),
    reason="compiles for half a minute: set ALLIN1_TEST_BUILDS=1",
)
def test_compiled_it_is_traced_once_and_gives_the_same(model, wanted):
    # On a CPU the backend does not compile; this runs the graph that it compiles on a GPU.
    traced = []

    def tracing(function):
        def noted(*arguments):
            traced.append(function)
            return function(*arguments)

        return mx.compile(noted)

    ensemble = replace(
        create(Setup("cpu", model)).call, computed_length=shared_length, steps=make_steps(tracing)
    )
    for frames in (40, 5, 64, 1):
        logits = ensemble(LogSpectrogram(mx.array(random_spectrogram(frames))), Task())
        assert_equal(logits, wanted(frames))
        assert len(traced) == 14


def test_any_layout_is_read(device, put, model, wanted):
    spectrogram = random_spectrogram(33)
    turned = put(np.ascontiguousarray(spectrogram.T)).transpose(2, 1, 0)
    wide = put(np.repeat(spectrogram, 2, axis=2))[:, :, ::2]
    for strided in (turned, wide):
        logits = create(Setup(device, model))(LogSpectrogram(strided), Task())
        assert_equal(logits, wanted(33))


def test_progress_rises_to_one(device, put):
    told = []
    call = create(Setup(device, random_model(2, members=3)))
    call = replace(call, call=replace(call.call, sizes=Sizes(front_end=512, layers=1)))
    call(LogSpectrogram(put(random_spectrogram(30))), Task(progress=told.append))
    assert told == sorted(told)
    assert told[-1] == 1
    assert len(told) > 30


def test_cancelling_propagates(device, put, model):
    class CancelledError(Exception):
        pass

    def cancel(fraction):
        raise CancelledError

    with pytest.raises(CancelledError):
        create(Setup(device, model))(
            LogSpectrogram(put(random_spectrogram(30))), Task(progress=cancel)
        )
