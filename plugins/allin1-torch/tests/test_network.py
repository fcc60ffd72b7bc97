from __future__ import annotations

import numpy as np
import pytest
import torch
from allin1_core.contracts.model import Model
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.contracts.stages import Setup, Task
from allin1_core.errors import WeightsError
from allin1_core.reference import network as reference
from allin1_core.testing.weights import random_model
from hypothesis import given
from hypothesis import strategies as st

from allin1_backend_torch.bridges import to_numpy
from allin1_backend_torch.network import Ensemble, Tiles, create
from allin1_backend_torch.network_instruments import blocks_of, position_table
from allin1_backend_torch.network_parameters import prepare

FIELDS = ("beat", "downbeat", "section", "function")

#: What the backends promise.
TOLERANCE = 2e-5


def random_spectrogram(frames, seed=None):
    """The input that the golden outputs of random spectrograms were made from."""
    rng = np.random.default_rng(frames if seed is None else seed)
    return np.abs(rng.standard_normal((4, frames, 81))).astype(np.float32) * np.float32(0.5)


def exact(model, spectrogram, embeddings=False):
    """The reference in float64."""
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


@pytest.mark.parametrize("frames", [1, 7, 100, 12_000])
def test_it_equals_the_original_on_random_spectrograms(device, put, golden, trained, frames):
    wanted = golden("random_spectrogram_fold3.npz")
    call = create(Setup(device, trained(3)))
    logits = call(LogSpectrogram(put(random_spectrogram(frames))), Task(embeddings=True))
    for field in FIELDS:
        np.testing.assert_allclose(
            to_numpy(getattr(logits, field)),
            wanted[f"T{frames}_logits_{field}"],
            rtol=0,
            atol=TOLERANCE,
        )
    embeddings = to_numpy(logits.embeddings)
    assert embeddings.shape == (4, frames, 24)
    np.testing.assert_allclose(
        embeddings[:, ::100], wanted[f"T{frames}_embeddings_every_100th"], rtol=0, atol=TOLERANCE
    )


@pytest.mark.parametrize(("name", "folds"), [("fold0", (0,)), ("ensemble", tuple(range(8)))])
def test_it_equals_the_original_on_a_real_song(device, put, golden, trained, name, folds):
    wanted = golden("francium_excerpt.npz")
    spectrogram = LogSpectrogram(put(wanted["spec_first_3000_frames"]))
    logits = create(Setup(device, trained(*folds)))(spectrogram, Task(embeddings=True))
    for field in FIELDS:
        np.testing.assert_allclose(
            to_numpy(getattr(logits, field)),
            wanted[f"crop3000_{name}_logits_{field}"],
            rtol=0,
            atol=TOLERANCE,
        )
    if name == "fold0":
        np.testing.assert_allclose(
            to_numpy(logits.embeddings), wanted["crop3000_fold0_embeddings"], rtol=0, atol=TOLERANCE
        )


def test_it_equals_the_original_on_a_whole_song(device, put, golden, trained, shared_dir):
    soundfile = pytest.importorskip("soundfile", reason="reads the song with soundfile")
    from allin1_core.contracts.audio import Stems

    from allin1_backend_torch import spectrogram

    stems = []
    for name in ("bass", "drums", "other", "vocals"):
        path = shared_dir / "music" / "francium" / f"{name}.flac"
        if not path.exists():
            pytest.skip(f"needs {path.name} of the song in the folder of golden outputs")
        stems.append(soundfile.read(path, dtype="int16")[0].astype(np.float32) / np.float32(32767))
    # The song's spectrogram must be near the original's, too, for the logits to be.
    frames = spectrogram.create(Setup(device))(Stems(put(np.stack(stems)[:, None])), Task())
    logits = create(Setup(device, trained(0)))(frames, Task())
    wanted = golden("francium_excerpt.npz")
    for field in FIELDS:
        np.testing.assert_allclose(
            to_numpy(getattr(logits, field)),
            wanted[f"fold0_logits_{field}"],
            rtol=0,
            atol=TOLERANCE,
        )


def test_an_ensemble_gives_the_mean_and_stacks_embeddings(device, put):
    pair = random_model(3, members=2)
    spectrogram = random_spectrogram(57)
    task = Task(embeddings=True)
    both = create(Setup(device, pair))(LogSpectrogram(put(spectrogram)), task).validate()
    assert_equal(both, exact(pair, spectrogram))
    wanted = exact(pair, spectrogram, embeddings=True).embeddings
    assert both.embeddings.shape == (4, 57, 24, 2)
    np.testing.assert_allclose(to_numpy(both.embeddings), wanted, rtol=0, atol=TOLERANCE)


def test_embeddings_come_only_when_asked_for(device, put, model):
    spectrogram = LogSpectrogram(put(random_spectrogram(20)))
    call = create(Setup(device, model))
    assert call(spectrogram, Task()).embeddings is None
    assert call(spectrogram, Task(embeddings=True)).embeddings.shape == (4, 20, 24)


def test_silence_and_loud_input_give_finite_logits(device, put, model):
    call = create(Setup(device, model))
    for level in (0, 100):
        spectrogram = np.full((4, 300, 81), level, np.float32)
        logits = call(LogSpectrogram(put(spectrogram)), Task())
        assert all(np.isfinite(to_numpy(getattr(logits, field))).all() for field in FIELDS)


def test_the_same_input_gives_the_same_output_and_stays_as_it_was(device, put, model):
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


def test_missing_and_misshapen_parameters_are_named(model):
    good = dict(model.members[0])
    name = "encoder.layers.4.instlayer.attention.self.rpb"
    missing = {key: value for key, value in good.items() if key != name}
    misshapen = {**good, name: good[name][:, :, :7]}
    for bad in (missing, misshapen):
        with pytest.raises(WeightsError, match=name):
            create(Setup(model=Model(model.card, (bad,))))


@pytest.mark.parametrize("none", [None, Model(random_model(1).card, ())])
def test_a_missing_model_is_an_error(none):
    with pytest.raises(WeightsError, match="no parameters"):
        create(Setup(model=none))


@given(st.integers(1, 300))
def test_blocks_cover_a_song_once_and_hold_their_windows(frames):
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
    # With no bias at all, the number of keys is that of finite scores and exp(zeros) together.
    for blocks in blocks_of(frames):
        table = position_table(
            np.zeros((1, 2, 9, 9)), blocks, frames, torch.zeros(1, dtype=torch.float64)
        )
        seen = torch.isfinite(table.scores).sum(-1) + table.zeros[..., 0].exp()
        torch.testing.assert_close(seen, torch.full_like(seen, 25))
