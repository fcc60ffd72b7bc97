from __future__ import annotations

import numpy as np
import pytest
import torch
from allin1_core.contracts.audio import Mix
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference import mix_spectrogram as reference
from allin1_core.testing import signals

from allin1_backend_torch import mix_spectrogram as module
from allin1_backend_torch.bridges import to_numpy


def mixes(length):
    """Return noise, signals that are hard for a transform, and a mix with equal channels."""
    chirp, square, constant, clipped = signals.hard_stems(length).samples[:, 0]
    noise = signals.noise_mix(length, seed=length).samples
    return [noise, *map(np.stack, ([chirp, square], [constant, clipped], [clipped, clipped]))]


def expected(samples):
    return reference.create(Setup())(Mix(samples), Task()).frames


@pytest.fixture
def tolerance(device):
    return 1e-4 if device == "mps" else 1e-6


@pytest.mark.parametrize(
    "length", [1, 441, 442, 2049, 15 * 441, 31 * 441, 128 * 441, 300 * 441 + 1]
)
def test_it_equals_the_reference(device, put, tolerance, length):
    call = module.create(Setup(device, threads=2))
    for samples in mixes(length):
        frames = call(Mix(put(samples)), Task()).validate().frames
        assert frames.device.type == torch.device(device).type
        np.testing.assert_allclose(to_numpy(frames), expected(samples), rtol=0, atol=tolerance)


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_join_without_a_seam(device, put, tolerance, block, monkeypatch):
    samples = mixes(70_001)[1]
    for name in ("CPU_BLOCK", "GPU_BLOCK", "CPU_MEDIANS", "GPU_MEDIANS"):
        monkeypatch.setattr(module, name, block)
    frames = module.create(Setup(device, threads=3))(Mix(put(samples)), Task()).frames
    np.testing.assert_allclose(to_numpy(frames), expected(samples), rtol=0, atol=tolerance)


def test_in_single_precision_the_error_is_below_one_ten_thousandth(device, put, monkeypatch):
    # As on MPS, which supports only single precision.
    make = module.make_filters

    def single(device, precision, parts, magnitudes):
        return make(device, torch.float32, parts, torch.float32)

    monkeypatch.setattr(module, "make_filters", single)
    call = module.create(Setup(device))
    for samples in mixes(100_000):
        frames = to_numpy(call(Mix(put(samples)), Task()).frames)
        wanted = expected(samples)
        np.testing.assert_allclose(frames, wanted, rtol=0, atol=1e-4)
        np.testing.assert_allclose(frames[[0, 1, 3]], wanted[[0, 1, 3]], rtol=0, atol=2e-5)


def test_mono_has_no_side(device, put):
    frames = module.create(Setup(device))(Mix(put(mixes(20_000)[3])), Task()).frames
    assert not to_numpy(frames[1]).any()


def test_the_same_input_gives_the_same_output_and_is_not_modified(device, put):
    samples = put(mixes(30_000)[0])
    before = samples.clone()
    call = module.create(Setup(device, threads=2))
    one, two = (call(Mix(samples), Task()).frames for _ in range(2))
    assert torch.equal(one, two)
    assert torch.equal(samples, before)
    assert not one.is_inference()


def test_progress_rises_to_one(device, put):
    told = []
    module.create(Setup(device))(Mix(put(mixes(5000)[0])), Task(progress=told.append))
    assert told == sorted(told)
    assert told[-1] == 1


def test_defaults_of_pytorch_do_not_matter(device, put, tolerance):
    samples = mixes(20_000)[1]
    torch.set_default_dtype(torch.float16)
    torch.set_default_device("meta")
    try:
        frames = module.create(Setup(device, threads=2))(Mix(put(samples)), Task()).frames
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    np.testing.assert_allclose(to_numpy(frames), expected(samples), rtol=0, atol=tolerance)
