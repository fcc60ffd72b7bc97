"""The network with NATTEN. Tests that need the library are skipped without it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.contracts.stages import Setup, Task
from allin1_core.contracts.verdict import Ready, Unavailable
from allin1_core.testing.conformance import NnConformance
from allin1_core.testing.signals import random_spectrogram
from allin1_core.testing.weights import random_model
from hypothesis import given, settings
from hypothesis import strategies as st

from allin1_backend_torch import bridges, devices, network, network_natten
from allin1_backend_torch.bridges import to_numpy
from allin1_backend_torch.network_natten import (
    attend_at_once,
    attend_in_pieces,
    bias_channels,
    pieces,
    prepare_attentions,
)

FIELDS = ("beat", "downbeat", "section", "function")


class Cpu(NnConformance):
    hooks = "allin1_backend_torch.hooks"
    backend = "natten-cpu"
    heavy = ("torch", "natten")

    def inputs(self):
        # A call takes a third of a second however short the song is, so only some lengths are tested.
        for frames in (1, 12, 333):
            yield f"{frames} frames", random_spectrogram(frames, seed=frames)


class TestNnByNattenOnCpu(Cpu):
    pass


class TestNnByNattenOnCuda(Cpu):
    backend = "natten-cuda"


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    """Name of each device that NATTEN can use here."""
    pytest.importorskip("natten", reason="needs NATTEN: pip install 'natten>=0.21,<0.22'")
    verdict = getattr(devices, f"probe_{request.param}_natten")()
    if not isinstance(verdict, Ready):
        pytest.skip(f"natten-{request.param} cannot run here: {verdict}")
    return verdict.device


def logits_of(call, spectrogram, device):
    logits = call(LogSpectrogram(bridges.from_numpy(spectrogram.frames, device)), Task())
    return {field: to_numpy(getattr(logits, field)) for field in FIELDS}


def assert_equal(actual, wanted):
    for field in FIELDS:
        np.testing.assert_allclose(actual[field], wanted[field], rtol=0, atol=2e-5, err_msg=field)


@pytest.mark.parametrize(
    ("frames", "dilation"), [(5, 1), (6, 1), (40, 1), (70, 1), (71, 3), (79, 8), (83, 8), (80, 16)]
)
def test_at_once_and_in_pieces_are_the_same(device, frames, dilation):
    # Only NATTEN's own kernels, which need CUDA, process a whole song at once. How NATTEN shifts its windows at the
    # ends, and the bias of each key, can be tested without them, on songs short enough for all pairs of frames.
    block = network.prepare_ensemble(Setup(device, random_model(3))).members[0].blocks[0]
    generator = torch.Generator().manual_seed(frames)
    rows = torch.randn(3, 4, frames, 2, 12, generator=generator, dtype=torch.float32).to(device)
    for attention in prepare_attentions(block):
        at_once, in_pieces = (
            attend(attention, rows, dilation, frames)
            for attend in (attend_at_once, attend_in_pieces)
        )
        torch.testing.assert_close(at_once, in_pieces, rtol=0, atol=2e-5)


def test_a_song_whose_length_no_dilation_divides_equals_its_slices(device):
    # Longer than the deepest window, and divisible by no dilation.
    model, spectrogram = random_model(4), random_spectrogram(10_301)
    call = network_natten.create(Setup(device, model, threads=1))
    wanted = logits_of(network.create(Setup(device, model, threads=1)), spectrogram, device)
    assert_equal(logits_of(call, spectrogram, device), wanted)


def test_it_equals_the_original_with_trained_weights(device, golden, trained):
    wanted = golden("random_spectrogram_fold3.npz")
    frames = np.abs(np.random.default_rng(100).standard_normal((4, 100, 81))) * 0.5
    spectrogram = LogSpectrogram(frames.astype(np.float32))
    logits = logits_of(network_natten.create(Setup(device, trained(3))), spectrogram, device)
    assert_equal(logits, {field: wanted[f"T100_logits_{field}"] for field in FIELDS})


def test_the_number_of_threads_is_restored(device):
    before = torch.get_num_threads()
    call = network_natten.create(Setup(device, random_model(3), threads=before + 1))
    logits_of(call, random_spectrogram(20), device)
    assert torch.get_num_threads() == before


def test_a_natten_without_kernels_for_the_device_is_refused_with_a_reason(device, monkeypatch):
    from natten import backends

    monkeypatch.setattr(backends, "get_compatible_backends", lambda *_, **__: [])
    verdict = getattr(devices, f"probe_{torch.device(device).type}_natten")()
    assert isinstance(verdict, Unavailable)
    assert "NATTEN" in verdict.reason


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_channels_of_a_bias_multiply_to_the_bias(seed, size):
    bias = size * np.random.default_rng(seed).standard_normal((9, 2))
    query, key = bias_channels(bias)
    places, offsets = np.arange(9)[:, None], np.arange(-4, 5)
    products = np.einsum("phc,poc->poh", query, key[(places + offsets) % 9, 0])
    wanted = np.broadcast_to(bias - bias.mean(0), products.shape)
    np.testing.assert_allclose(products, wanted, rtol=0, atol=1e-13 * size)


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(0, 800), st.data())
def test_pieces_contain_the_window_of_each_frame(dilation, more, data):
    padded = 5 * dilation + more
    frames = data.draw(st.integers(1, padded))
    members, home = pieces(padded, dilation, frames)
    assert members.min() >= 0
    assert members.max() < padded
    assert (np.diff(members, axis=1) == dilation).all()
    piece, place = np.divmod(home, members.shape[1])
    assert (members[piece, place] == np.arange(frames)).all()
    assert set(piece) == set(range(len(members)))
    inside, residue = np.divmod(np.arange(frames), dilation)
    last = (padded - residue - 1) // dilation
    wanted = np.clip(inside - 2, 0, last - 4) * dilation + residue
    first_key = np.clip(place - 2, 0, members.shape[1] - 5)
    assert (members[piece, first_key] == wanted).all()
