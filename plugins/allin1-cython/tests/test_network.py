"""The compiled network against the reference, and against outputs of the original."""

from __future__ import annotations

import numpy as np
import pytest
from allin1_backend_cython._network import (
    NETWORK_SIZE,
    PASSES,
    SCRATCH_SIZE,
    Song,
    aligned_zeros,
    kernels,
)
from allin1_backend_cython.network import Ensemble, create
from allin1_backend_cython.network_parameters import pack

from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.contracts.stages import Setup, Task
from allin1_core.errors import BackendError
from allin1_core.reference import network as reference
from allin1_core.testing.conformance.network import FIELDS
from allin1_core.testing.conformance.original import golden_spectrogram
from allin1_core.testing.weights import random_model

#: Tolerance that the backend declares.
TOLERANCE = 2e-5


def same_bits(one, other):
    return all(getattr(one, f).tobytes() == getattr(other, f).tobytes() for f in FIELDS)


def assert_equal(actual, wanted, tolerance=TOLERANCE):
    for field in FIELDS:
        np.testing.assert_allclose(
            getattr(actual, field), getattr(wanted, field), rtol=0, atol=tolerance, err_msg=field
        )


@pytest.fixture(scope="module")
def model():
    return random_model(3)


@pytest.fixture(scope="module")
def exact(model):
    """Run the reference in float64, once for each length."""
    call = reference.create(Setup(model=model, threads=2), dtype=np.float64)
    known = {}

    def run(frames):
        if frames not in known:
            known[frames] = call(golden_spectrogram(frames), Task(embeddings=True))
        return known[frames]

    return run


@pytest.fixture
def ensemble(model, isa):
    return Ensemble(tuple(map(pack, model.members)), isa, threads=1)


# Short songs, where windows are shifted most; both sides of a tile, of a group of tiles, of a unit of the front
# end, and of the shifts at a dilation of 16 and 32.
LENGTHS = (
    *range(1, 41),
    *(63, 65, 79, 80, 81, 127, 128, 129, 130, 159, 161, 253, 254, 255, 256, 257, 509, 1030),
)

#: Too slow for whole songs, whose special cases do not depend on the instruction set.
SLOW = ("sse2", "scalar")


@pytest.mark.parametrize("frames", LENGTHS)
def test_it_equals_the_reference_at_every_length(ensemble, exact, frames):
    logits = ensemble(golden_spectrogram(frames), Task(embeddings=True)).validate()
    wanted = exact(frames)
    assert_equal(logits, wanted)
    np.testing.assert_allclose(logits.embeddings, wanted.embeddings, rtol=0, atol=TOLERANCE)


@pytest.fixture(scope="module")
def long_song(model):
    """Return a length just above the reach of the deepest layer's widest window, and its logits."""
    spectrogram = golden_spectrogram(10_241)
    return spectrogram, reference.create(Setup(model=model, threads=2))(spectrogram, Task())


def test_the_widest_window_fits(model, isa, long_song):
    if isa in SLOW:
        pytest.skip("slow, and tested with shorter songs")
    spectrogram, wanted = long_song
    assert_equal(Ensemble((pack(model.members[0]),), isa, 2)(spectrogram, Task()), wanted)


def test_a_song_that_is_padded_between_its_tiles(model, isa):
    if isa == "scalar":
        pytest.skip("slow, and covered by sse2")
    spectrogram = golden_spectrogram(2563)
    wanted = reference.create(Setup(model=model, threads=2))(spectrogram, Task())
    assert_equal(Ensemble((pack(model.members[0]),), isa, 2)(spectrogram, Task()), wanted)


@pytest.mark.parametrize("frames", [1, 257, 700])
def test_the_number_of_threads_changes_no_bit(model, isa, frames):
    members = tuple(map(pack, model.members))
    spectrogram = golden_spectrogram(frames)
    one, *others = (
        Ensemble(members, isa, threads)(spectrogram, Task(embeddings=True))
        for threads in (1, 2, 3, 8)
    )
    for other in others:
        assert same_bits(one, other)
        assert one.embeddings.tobytes() == other.embeddings.tobytes()


def test_more_threads_than_units_do_no_harm(model, isa):
    members = tuple(map(pack, model.members))
    spectrogram = golden_spectrogram(40)
    song = Song(spectrogram.frames, 1, False, isa)
    song.begin(0)
    for number in range(PASSES):
        song.begin_pass()
        for _ in range(3):
            song.run(members[0], number, aligned_zeros(SCRATCH_SIZE))
    assert song.logits[0].tobytes() == Ensemble(members, isa, 1)(spectrogram, Task()).beat.tobytes()


def test_an_ensemble_gives_the_mean_and_stacks_embeddings(isa):
    pair = random_model(3, members=2)
    task, spectrogram = Task(embeddings=True), golden_spectrogram(57)
    both = Ensemble(tuple(map(pack, pair.members)), isa, 2)(spectrogram, task).validate()
    wanted = reference.create(Setup(model=pair), dtype=np.float64)(spectrogram, task)
    assert_equal(both, wanted)
    assert both.embeddings.shape == (4, 57, 24, 2)
    np.testing.assert_allclose(both.embeddings, wanted.embeddings, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("level", [0.0, 1e-40, 1e-38, 1e-30, 5.0, 100.0, 1e6])
def test_silence_subnormal_numbers_and_loud_input_give_finite_logits(model, ensemble, level):
    spectrogram = LogSpectrogram(np.full((4, 90, 81), level, np.float32))
    logits = ensemble(spectrogram, Task()).validate()
    if level <= 5:
        wanted = reference.create(Setup(model=model), dtype=np.float64)(spectrogram, Task())
        assert_equal(logits, wanted)


@pytest.mark.parametrize("level", [np.nan, np.inf, -np.inf, 3e38])
def test_nan_input_neither_crashes_nor_affects_later_songs(model, ensemble, level):
    spectrogram = golden_spectrogram(150)
    broken = spectrogram.frames.copy()
    broken[2, 70:80] = level
    ensemble(LogSpectrogram(broken), Task(embeddings=True))
    assert_equal(
        ensemble(spectrogram, Task()), reference.create(Setup(model=model))(spectrogram, Task())
    )


def test_nan_in_a_frame_reaches_its_logits(ensemble):
    broken = golden_spectrogram(150).frames.copy()
    broken[1, 75] = np.nan
    assert np.isnan(ensemble(LogSpectrogram(broken), Task()).beat[75])


def test_extreme_scores_stay_finite(isa):
    # Queries and keys a hundred times as large: softmax must not overflow, and picks one key.
    (parameters,) = random_model(3).members
    loud = {
        name: values * np.float32(30 if ".self.query." in name or ".self.key." in name else 1)
        for name, values in parameters.items()
    }
    Ensemble((pack(loud),), isa, 1)(golden_spectrogram(300), Task()).validate()


def test_the_same_input_gives_the_same_bits_and_is_not_modified(ensemble):
    spectrogram = golden_spectrogram(600)
    before = spectrogram.frames.copy()
    assert same_bits(ensemble(spectrogram, Task()), ensemble(spectrogram, Task()))
    np.testing.assert_array_equal(spectrogram.frames, before)


def test_progress_rises_to_one(isa):
    told = []
    call = Ensemble(tuple(map(pack, random_model(2, members=3).members)), isa, 2)
    call(golden_spectrogram(30), Task(progress=told.append))
    assert told == sorted(told)
    assert told[-1] == 1
    assert len(told) > 30


def test_an_exception_from_progress_ends_the_run(ensemble):
    told = []

    def cancel(fraction):
        told.append(fraction)
        if len(told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensemble(golden_spectrogram(600), Task(progress=cancel))
    assert len(told) == 3
    ensemble(golden_spectrogram(600), Task()).validate()


def test_a_missing_instruction_set_is_an_error(model, monkeypatch):
    monkeypatch.setenv("ALLIN1_CYTHON_ISA", "mmx")
    with pytest.raises(BackendError, match="mmx"):
        create(Setup(model=model))


def test_the_environment_chooses_the_instruction_set(model, isa, monkeypatch):
    monkeypatch.setenv("ALLIN1_CYTHON_ISA", isa)
    assert create(Setup(model=model)).instruction_set == isa


def test_every_instruction_set_of_the_processor_has_a_kernel(isa):
    assert isa in kernels()


def test_the_compiled_class_refuses_wrong_arguments(model, isa):
    packed, scratch = pack(model.members[0]), aligned_zeros(SCRATCH_SIZE)
    frames = golden_spectrogram(20).frames
    for bad in (frames[:3].copy(), frames[:, :, :80].copy(), frames[:, :0].copy()):
        with pytest.raises(ValueError, match="spectrogram"):
            Song(bad, 1, False, isa)
    with pytest.raises(ValueError, match="no kernel for"):
        Song(frames, 1, False, "mmx")
    song = Song(frames, 1, False, isa)
    with pytest.raises(ValueError, match="member"):
        song.begin(1)
    with pytest.raises(ValueError, match="number is out of range"):
        song.run(packed, PASSES, scratch)
    with pytest.raises(ValueError, match="size"):
        song.run(packed[: NETWORK_SIZE - 1], 0, scratch)
    with pytest.raises(ValueError, match="size"):
        song.run(packed, 0, scratch[:-1])
