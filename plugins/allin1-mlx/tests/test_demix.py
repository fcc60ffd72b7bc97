"""Separation with a fake of demucs-mlx 1.6.1, which needs a Mac and 160 MB of weights."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import mlx.core as mx
import numpy as np
import pytest
from allin1_core.contracts.audio import Mix
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.stages import Setup, Task
from allin1_core.errors import ContractError, InputError

from allin1_backend_mlx import demix


class Separator:
    """Fake of ``demucs_mlx.api.Separator``: the signatures that are used, and its order of the stems."""

    sources = ("drums", "bass", "other", "vocals")

    def __init__(
        self,
        model="htdemucs",
        shifts=1,
        overlap=0.25,
        segment=None,
        seed=None,
        batch_size="auto",
        attention_precision=None,
    ):
        if model == "unknown":
            raise ValueError(f"Unknown model '{model}'. Available: htdemucs")
        self.told = (model, shifts, overlap, segment, seed, batch_size, attention_precision)
        self.model = SimpleNamespace(sources=self.sources)
        self.got = None
        self.closed = False

    def separate_tensor(self, wav, *, return_mx=False):
        assert isinstance(wav, mx.array)
        assert return_mx
        self.got = wav
        return wav, {name: wav * factor for factor, name in enumerate(self.sources, start=1)}

    def close(self):
        self.closed = True


@pytest.fixture
def make(monkeypatch):
    """Create the stage with parameters, around the fake."""
    module = ModuleType("demucs_mlx")
    module.Separator = Separator
    monkeypatch.setitem(sys.modules, "demucs_mlx", module)
    return lambda **parameters: demix.create(Setup("cpu", demix=DemixParameters(**parameters)))


@pytest.fixture
def separation(make):
    return make()


def mix(samples):
    rng = np.random.default_rng(samples)
    return (0.2 * rng.standard_normal((2, samples)) + 0.05).astype(np.float32)


def test_it_is_set_up_as_the_original_with_a_seed(separation):
    assert separation.call.separator.told == ("htdemucs", 1, 0.25, None, 0, "auto", "fp16")


def test_parameters_are_passed_on(make):
    asked = {"shifts": 3, "overlap": 0.1, "segment_s": 5.0, "seed": 7, "batch_size": 2}
    told = make(model="mdx", precision="float32", **asked).call.separator.told
    assert told == ("mdx", 3, 0.1, 5.0, 7, 2, "fp32")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"weights": "somewhere"}, "somewhere"),
        ({"model": "unknown"}, "Available: htdemucs"),
        ({"shifts": -1}, "shifts"),
    ],
)
def test_unsupported_parameters_are_refused(make, parameters, message):
    with pytest.raises((InputError, ContractError), match=message):
        make(**parameters)


def test_a_model_of_six_stems_is_refused(make, monkeypatch):
    monkeypatch.setattr(Separator, "sources", (*Separator.sources, "guitar", "piano"))
    with pytest.raises(InputError, match="guitar"):
        make(model="htdemucs_6s")


def test_the_mix_is_normalised_by_its_mono_sum(separation):
    samples = mix(10_000)
    separation(Mix(mx.array(samples)), Task())
    mono = samples.astype(np.float64).mean(0)
    wanted = (samples - mono.mean()) / (mono.std(ddof=1) + 1e-8)
    np.testing.assert_allclose(np.asarray(separation.call.separator.got), wanted, atol=1e-5)


def test_stems_are_put_in_order_and_back_to_their_level(separation):
    samples = mix(10_000)
    stems = separation(Mix(mx.array(samples)), Task()).validate().samples
    assert isinstance(stems, mx.array)
    mean = samples.mean()
    wanted = np.stack([(samples - mean) * factor + mean for factor in (2, 1, 3, 4)])
    np.testing.assert_allclose(np.asarray(stems), wanted, atol=1e-5)


@pytest.mark.parametrize("samples", [np.zeros((2, 500), np.float32), mix(1)])
def test_silence_and_one_sample_stay_finite(separation, samples):
    stems = separation(Mix(mx.array(samples)), Task()).validate().samples
    assert np.isfinite(np.asarray(stems)).all()


def test_closing_releases_the_separator(separation):
    separation.close()
    assert separation.call.separator.closed


def test_it_fits_the_real_separator_around_a_network_that_passes_the_mix_through(monkeypatch):
    """The package's own splitting, shifting and overlapping, with no weights and no Metal."""
    pytest.importorskip("demucs_mlx", reason="demucs-mlx is not installed", exc_type=ImportError)
    model_converter = pytest.importorskip("demucs_mlx.model_converter")

    class Network:
        samplerate, audio_channels, segment = 44_100, 2, 1.0
        sources = ("drums", "bass", "other", "vocals")

        def __call__(self, mix):
            return mx.stack([mix * factor for factor in (1, 2, 3, 4)], axis=1)

    monkeypatch.setattr(model_converter, "get_mlx_model", lambda name: Network())
    monkeypatch.setenv("DEMUCS_MLX_COMPILE_FORWARD", "0")
    samples = mix(120_000)
    call = demix.create(Setup("cpu"))
    stems = call(Mix(mx.array(samples)), Task()).validate().samples
    call.close()
    mean = samples.mean()
    wanted = np.stack([(samples - mean) * factor + mean for factor in (2, 1, 3, 4)])
    np.testing.assert_allclose(np.asarray(stems), wanted, atol=1e-5)
