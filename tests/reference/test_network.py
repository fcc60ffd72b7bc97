from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from allin1_core.contracts.audio import STEMS, Stems
from allin1_core.contracts.model import Model
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.contracts.stages import Setup, Task
from allin1_core.errors import WeightsError
from allin1_core.reference import network
from allin1_core.reference import spectrogram as spectrogram_stage
from allin1_core.reference.network_parameters import parameter_shapes
from allin1_core.testing.weights import random_model, random_parameters

OUTPUTS = ("beat", "downbeat", "section", "function")
WITH_EMBEDDINGS = Task(embeddings=True)


def random_spectrogram(length, seed=0):
    values = np.abs(np.random.default_rng((seed, length)).standard_normal((4, length, 81)))
    return (values * 0.5).astype(np.float32)


def run(model, frames, task=WITH_EMBEDDINGS, **setup):
    logits = network.create(Setup(model=model, **setup))(LogSpectrogram(frames), task)
    return logits.validate()


def assert_same(a, b, atol=0.0):
    for name in (*OUTPUTS, "embeddings"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=0, atol=atol)


# What upstream gave -----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def excerpt(shared_dir):
    """Spectrogram of the whole excerpt, 9000 frames, from stems of 16 bits."""
    stems = []
    for name in STEMS:
        path = shared_dir / "music" / "francium" / f"{name}.flac"
        samples, rate = soundfile.read(path, dtype="int16")
        assert rate == 44_100
        stems.append((samples / 32_767).astype(np.float32)[None])
    return spectrogram_stage.create(Setup())(Stems(np.stack(stems)), Task()).frames


def assert_golden(logits, golden, prefix, atol=2e-5):
    for name in OUTPUTS:
        np.testing.assert_allclose(
            getattr(logits, name), golden[f"{prefix}_logits_{name}"], rtol=0, atol=atol
        )


@pytest.mark.parametrize("length", [1, 7, 100, 12_000])
def test_matches_upstream_on_random_spectrograms(length, golden, trained):
    rng = np.random.default_rng(length)
    frames = np.abs(rng.standard_normal((4, length, 81))).astype(np.float32) * 0.5
    logits = run(trained(3), frames.astype(np.float32))
    expected = golden("random_spectrogram_fold3.npz")
    assert_golden(logits, expected, f"T{length}")
    np.testing.assert_allclose(
        logits.embeddings[:, ::100],
        expected[f"T{length}_embeddings_every_100th"],
        rtol=0,
        atol=5e-6,
    )


def test_matches_upstream_on_thirty_seconds_of_a_song(golden, trained):
    expected = golden("francium_excerpt.npz")
    logits = run(trained(0), expected["spec_first_3000_frames"])
    assert_golden(logits, expected, "crop3000_fold0")
    np.testing.assert_allclose(
        logits.embeddings, expected["crop3000_fold0_embeddings"], rtol=0, atol=5e-6
    )


def test_matches_upstream_on_ninety_seconds_of_a_song(golden, trained, excerpt):
    assert_golden(run(trained(0), excerpt), golden("francium_excerpt.npz"), "fold0")


def test_matches_upstreams_ensemble_on_ninety_seconds_of_a_song(golden, trained, excerpt):
    logits = run(trained(*range(8)), excerpt, Task())
    assert_golden(logits, golden("francium_excerpt.npz"), "ensemble")


# Without trained weights ------------------------------------------------------------------------


def test_single_precision_stays_close_to_double():
    model, frames = random_model(1), random_spectrogram(700)
    single = run(model, frames)
    double = network.create(Setup(model=model), dtype=np.float64)(
        LogSpectrogram(frames), WITH_EMBEDDINGS
    )
    assert double.beat.dtype == double.embeddings.dtype == np.float64
    assert_same(single, double, atol=2e-5)
    assert not np.array_equal(single.beat, double.beat)


@settings(deadline=None, max_examples=15)
@given(length=st.integers(1, 90), tile=st.integers(1, 100), threads=st.integers(1, 4))
def test_tiles_and_threads_change_nothing(length, tile, threads):
    model, frames = random_model(2), random_spectrogram(length)
    whole = run(model, frames, threads=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "TILE", tile)
        assert_same(run(model, frames, threads=threads), whole, atol=2e-5)


def test_every_run_gives_the_same_bits():
    model, frames = random_model(3, members=2), random_spectrogram(1100)
    assert_same(run(model, frames, threads=3), run(model, frames, threads=3))
    assert_same(run(model, frames, threads=1), run(model, frames, threads=2))


def test_an_ensemble_gives_the_mean_of_the_logits_and_all_embeddings():
    model, frames = random_model(4, members=3), random_spectrogram(50)
    alone = [run(Model(model.card, (member,)), frames) for member in model.members]
    together = run(model, frames)
    for name in OUTPUTS:
        mean = np.mean([getattr(logits, name) for logits in alone], axis=0)
        np.testing.assert_allclose(getattr(together, name), mean, rtol=0, atol=1e-5)
    assert alone[0].embeddings.shape == (4, 50, 24)
    np.testing.assert_array_equal(
        together.embeddings, np.stack([logits.embeddings for logits in alone], axis=-1)
    )


def test_embeddings_come_only_when_requested():
    model, frames = random_model(5), random_spectrogram(20)
    without = run(model, frames, Task())
    assert without.embeddings is None
    np.testing.assert_array_equal(without.beat, run(model, frames).beat)


def test_the_order_of_the_frames_in_memory_is_of_no_account_and_they_are_not_modified():
    model, frames = random_model(6), random_spectrogram(60)
    expected = run(model, frames)
    strided = np.repeat(frames.transpose(2, 1, 0), 2, axis=0).transpose(2, 1, 0)[..., ::2]
    assert not strided.flags.c_contiguous
    strided.setflags(write=False)
    assert_same(run(model, strided), expected)
    np.testing.assert_array_equal(strided, random_spectrogram(60))


def test_parameters_may_be_read_only_and_are_not_modified():
    model, frames = random_model(7), random_spectrogram(30)
    expected = run(model, frames)
    for array in model.members[0].values():
        array.setflags(write=False)
    assert_same(run(model, frames), expected)


@pytest.mark.parametrize("length", [1, 1100])
def test_progress_rises_to_one(length, monkeypatch):
    monkeypatch.setattr(network, "REPORT_INTERVAL_S", 0.0)
    seen = []
    run(random_model(8, members=2), random_spectrogram(length), Task(progress=seen.append))
    assert len(seen) > 90
    assert seen == sorted(seen)
    assert 0 < seen[0] < 0.05
    assert seen[-1] == 1


def test_progress_may_cancel(monkeypatch):
    class CancelledError(Exception):
        pass

    calls = []

    def cancel(fraction):
        calls.append(fraction)
        raise CancelledError

    monkeypatch.setattr(network, "REPORT_INTERVAL_S", 0.0)
    with pytest.raises(CancelledError):
        run(random_model(9), random_spectrogram(40), Task(progress=cancel))
    assert len(calls) == 1


def test_a_failure_in_a_tile_is_not_lost():
    with pytest.raises(ValueError, match="shape"):
        run(random_model(9), np.zeros((4, 40, 50), np.float32))


@pytest.mark.parametrize("name", ["norm.bias", "encoder.layers.10.instlayer.attention.self.rpb"])
def test_a_missing_parameter_is_named(name):
    parameters = random_parameters(0)
    del parameters[name]
    with pytest.raises(WeightsError, match=name):
        network.create(Setup(model=Model(random_model(0).card, (parameters,))))


def test_a_parameter_of_the_wrong_shape_is_named():
    parameters = random_parameters(0)
    name = "embeddings.conv1.weight"
    parameters[name] = parameters[name].transpose(0, 3, 1, 2)
    with pytest.raises(WeightsError, match=rf"{name}.*\[24, 12, 1, 12\].*\[24, 1, 12, 12\]"):
        network.create(Setup(model=Model(random_model(0).card, (parameters,))))


def test_no_model_is_an_error():
    with pytest.raises(WeightsError):
        network.create(Setup())
    with pytest.raises(WeightsError):
        network.create(Setup(model=Model(random_model(0).card, ())))


# The parameters themselves ----------------------------------------------------------------------


def test_there_are_as_many_parameters_as_upstream_has():
    shapes = parameter_shapes()
    assert len(shapes) == 491
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 300_631


def test_trained_parameters_have_these_names_and_shapes(trained):
    (parameters,) = trained(5).members
    assert {name: array.shape for name, array in parameters.items()} == parameter_shapes()


def test_random_parameters_come_by_seed():
    a, b, other = random_parameters(1), random_parameters(1), random_parameters(2)
    assert all(np.array_equal(a[name], b[name]) for name in parameter_shapes())
    assert not any(np.array_equal(a[name], other[name]) for name in parameter_shapes())
    first, second = random_model(1, members=2).members
    assert not np.array_equal(first["norm.bias"], second["norm.bias"])


def test_every_random_parameter_matters_but_the_biases_of_keys():
    # Those add the same to all scores of a query, padding included, which no softmax sees.
    names = [name for name in parameter_shapes() if ".layers." not in name or ".layers.4." in name]
    frames, parameters, card = random_spectrogram(12), random_parameters(3), random_model(0).card
    expected = run(Model(card, (parameters,)), frames, threads=1)
    for name in names:
        changed = Model(card, ({**parameters, name: parameters[name] * 1.2},))
        logits = run(changed, frames, threads=1)
        difference = max(
            float(np.abs(getattr(logits, output) - getattr(expected, output)).max())
            for output in OUTPUTS
        )
        assert (difference < 2e-5) if name.endswith(".key.bias") else (difference > 1e-3), name
