from __future__ import annotations

import numpy as np
import pytest
import torch
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference import network as reference
from allin1_core.testing.conformance.network import FIELDS
from allin1_core.testing.conformance.original import golden_spectrogram
from allin1_core.testing.weights import random_model
from hypothesis import given
from hypothesis import strategies as st

from allin1_backend_torch.bridges import to_numpy
from allin1_backend_torch.network import Ensemble, Tiles, create
from allin1_backend_torch.network_instruments import blocks_of, position_table
from allin1_backend_torch.network_parameters import prepare

#: What the backends promise.
TOLERANCE = 2e-5


def random_spectrogram(frames, seed=None):
    return golden_spectrogram(frames, seed).frames


def exact(model, spectrogram, embeddings=False):
    """Run the reference in float64."""
    call = reference.create(Setup(model=model, threads=2), dtype=np.float64)
    return call(LogSpectrogram(spectrogram), Task(embeddings=embeddings))


def assert_equal(actual, wanted, tolerance=TOLERANCE):
    for field in FIELDS:
        np.testing.assert_allclose(
            to_numpy(getattr(actual, field)),
            getattr(wanted, field),
            rtol=0,
            atol=tolerance,
            err_msg=field,
        )


@pytest.fixture(scope="module")
def model():
    return random_model(3)


@pytest.mark.parametrize("frames", [*range(1, 41), 101, 127, 333, 1030])
def test_in_float64_it_is_the_reference_at_every_length(device, put, model, frames):
    if device == "mps":
        pytest.skip("MPS has no float64")
    members = (prepare(model.members[0], torch.device(device), torch.float64),)
    spectrogram = random_spectrogram(frames).astype(np.float64)
    for tiles in (Tiles(7, 13), Tiles(5000, 5000)):
        call = Ensemble(members, tiles, threads=1)
        logits = call(LogSpectrogram(put(spectrogram)), Task(embeddings=True))
        wanted = exact(model, spectrogram, embeddings=True)
        for field in (*FIELDS, "embeddings"):
            np.testing.assert_allclose(
                to_numpy(getattr(logits, field)), getattr(wanted, field), rtol=0, atol=1e-10
            )


@pytest.mark.parametrize("frames", [*range(1, 41), 101, 127, 333, 1030])
def test_it_equals_the_reference_at_every_length(device, put, model, frames):
    spectrogram = random_spectrogram(frames)
    logits = create(Setup(device, model, threads=2))(LogSpectrogram(put(spectrogram)), Task())
    logits.validate()
    assert logits.function.device.type == torch.device(device).type
    assert_equal(logits, exact(model, spectrogram))


@pytest.mark.parametrize("frames", [1, 5, 8, 9, 10, 11, 13, 101])
def test_tiles_join_without_a_seam(device, put, model, frames):
    spectrogram = random_spectrogram(frames)
    wanted = exact(model, spectrogram)
    members = create(Setup(device, model)).call.members
    for tile, threads in ((1, 1), (2, 3), (3, 1), (5, 2), (7, 1), (13, 3), (64, 2)):
        call = Ensemble(members, Tiles(front_end=tile, layers=tile), threads)
        assert_equal(call(LogSpectrogram(put(spectrogram)), Task()), wanted)


def test_the_widest_window_fits_and_does_not(device, put, model):
    # The deepest layer reaches over 10 240 frames; a song that is just shorter is padded.
    call = create(Setup(device, model, threads=2))
    for frames in (10_239, 10_241):
        spectrogram = random_spectrogram(frames)
        wanted = reference.create(Setup(model=model, threads=2))(
            LogSpectrogram(spectrogram), Task()
        )
        assert_equal(call(LogSpectrogram(put(spectrogram)), Task()), wanted)


def test_the_same_input_gives_the_same_output_and_is_not_modified(device, put, model):
    spectrogram = put(random_spectrogram(2000))
    before = spectrogram.clone()
    call = create(Setup(device, model, threads=2))
    one, two = (call(LogSpectrogram(spectrogram), Task()) for _ in range(2))
    assert all(torch.equal(getattr(one, field), getattr(two, field)) for field in FIELDS)
    assert torch.equal(spectrogram, before)


def test_any_layout_is_read(device, put, model):
    spectrogram = random_spectrogram(50)
    turned = put(np.ascontiguousarray(spectrogram.T)).permute(2, 1, 0)
    wide = put(np.repeat(spectrogram, 2, axis=2))[:, :, ::2]
    for strided in (turned, wide):
        logits = create(Setup(device, model))(LogSpectrogram(strided), Task())
        assert_equal(logits, exact(model, spectrogram))


def test_results_are_ordinary_tensors(device, put, model):
    spectrogram = LogSpectrogram(put(random_spectrogram(20)))
    logits = create(Setup(device, model))(spectrogram, Task(embeddings=True))
    for field in (*FIELDS, "embeddings"):
        tensor = getattr(logits, field)
        assert not tensor.is_inference()
        assert not tensor.requires_grad
        tensor += 1


def test_defaults_of_pytorch_do_not_matter(device, put, model):
    spectrogram = random_spectrogram(60)
    torch.set_default_dtype(torch.float16)
    torch.set_default_device("meta")
    try:
        call = create(Setup(device, model, threads=2))
        logits = call(LogSpectrogram(put(spectrogram)), Task(embeddings=True))
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert_equal(logits, exact(model, spectrogram))


def test_progress_rises_to_one(device, put):
    told = []
    call = create(Setup(device, random_model(2, members=3)))
    call(LogSpectrogram(put(random_spectrogram(30))), Task(progress=told.append))
    assert told == sorted(told)
    assert told[-1] == 1
    assert len(told) > 30


@given(st.integers(1, 300))
def test_blocks_cover_a_song_once_and_contain_their_windows(frames):
    blocks = blocks_of(frames)
    covered = [t for b in blocks for t in range(b.first, b.end)]
    assert covered == list(range(frames))
    for part in blocks:
        for done in range(0, part.count * part.queries, part.queries):
            first_key = part.first_key + done
            assert first_key >= 0
            assert first_key + part.keys <= frames
            for t in range(part.first + done, part.first + done + part.queries):
                start = min(max(t - 2, 0), max(frames, 5) - 5)
                assert first_key <= start
                assert min(start + 5, frames) <= first_key + part.keys


@pytest.mark.parametrize("frames", [1, 3, 5, 7, 8, 11, 12, 30])
def test_every_query_sees_twenty_five_keys(frames):
    # Without a bias, the number of keys is the number of finite scores plus the exp(zeros).
    for blocks in blocks_of(frames):
        table = position_table(
            np.zeros((1, 2, 9, 9)), blocks, frames, torch.zeros(1, dtype=torch.float64)
        )
        seen = torch.isfinite(table.scores).sum(-1) + table.zeros[..., 0].exp()
        torch.testing.assert_close(seen, torch.full_like(seen, 25))
