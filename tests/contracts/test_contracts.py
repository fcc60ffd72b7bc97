from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allin1_core.contracts.arrays import first_not_finite
from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.logits import Activations, Logits
from allin1_core.contracts.metre import Metre, MetreParameters, TempoAlternative, TempoPrior
from allin1_core.contracts.parity import IDENTICAL, LOSSY, close, event
from allin1_core.contracts.sections import Sections, Segment
from allin1_core.contracts.spectrogram import LogSpectrogram, frame_count
from allin1_core.errors import AudioError, BatchError, ContractError

F32 = np.float32


def logits(frames=5, **changes):
    arrays = {name: np.zeros(frames, F32) for name in ("beat", "downbeat", "section")}
    return Logits(**{**arrays, "function": np.zeros((10, frames), F32), **changes})


def alternatives(**changes):
    one = {"relation": "half", "bpm": 60.0, "confidence": 0.1, "first": 0.0, "step": 2.0, **changes}
    return Metre(np.zeros(0), np.zeros(0, np.int64), alternatives=(TempoAlternative(**one),))


@pytest.mark.parametrize(
    "record",
    [
        Mix(np.zeros((2, 1), F32)),
        Stems(np.zeros((4, 1, 7), F32)),
        Stems(np.zeros((4, 2, 7), F32)),
        LogSpectrogram(np.zeros((4, 1, 81), F32)),
        logits(),
        logits(embeddings=np.zeros((4, 5, 24), F32)),
        logits(embeddings=np.zeros((4, 5, 24, 8), F32)),
        Activations(np.zeros((3, 2))),
        Activations(np.full((3, 2), np.nan, F32)),
        Metre(np.zeros(0), np.zeros(0, np.int64)),
        Metre(np.array([0.1, 0.5]), np.array([4, 1])),
        Sections((Segment(0.0, 1.0, "intro"), Segment(1.0, 2.5, "verse"))),
        alternatives(),
        MetreParameters(),
        MetreParameters(tempo_prior=TempoPrior(120, 0.7)),
        MetreParameters(beats_per_bar=(1,), num_tempi=None, threshold=0.0),
    ],
)
def test_valid_values_are_accepted_and_returned(record):
    assert record.validate() is record


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (Mix(np.zeros((1, 5), F32)), r"mix.samples has shape \[1, 5\]; wanted \[2, any\]"),
        (Mix(np.zeros((2, 0), F32)), "has shape"),
        (Mix(np.zeros((2, 5))), "dtype float64; wanted float32"),
        (Mix([[0.0], [0.0]]), "is not an array but list"),
        (Mix(np.array([[0, 1, np.nan], [0, 0, 0]], F32)), r"holds nan at index \[0, 2\]"),
        (Mix(np.array([[0, 1, 2], [0, -np.inf, 0]], F32)), r"holds -inf at index \[1, 1\]"),
        (Stems(np.zeros((4, 3, 7), F32)), "3 channels; wanted 1 or 2"),
        (Stems(np.zeros((3, 2, 7), F32)), "has shape"),
        (LogSpectrogram(np.zeros((4, 5, 80), F32)), r"wanted \[4, any, 81\]"),
        (logits(downbeat=np.zeros(4, F32)), "logits.downbeat has shape"),
        (logits(function=np.zeros((9, 4), F32)), "logits.function has shape"),
        (logits(embeddings=np.zeros((4, 4, 24), F32)), "logits.embeddings has shape"),
        (logits(beat=np.array([0, 0, np.nan, 0, 0], F32)), "logits.beat holds nan"),
        (Activations(np.zeros((3, 3), F32)), "activations.values has shape"),
        (Activations(np.zeros((3, 2), F32), 0.0), "wanted above 0"),
        (Metre(np.array([0.5, 0.5]), np.array([1, 2])), "is not increasing"),
        (Metre(np.array([0.5]), np.array([0])), "below 1"),
        (Metre(np.array([0.5]), np.array([1, 2])), "beat_positions has shape"),
        (Sections(()), "is empty"),
        (Sections((Segment(1.0, 1.0, "intro"),)), "does not end after it starts"),
        (Sections((Segment(0, 1, "a"), Segment(2, 3, "b"))), "does not start where"),
        (
            Sections((Segment(0, 1, "a"),), (), ((0.5, 0.5), (1.0,))),
            "label_probabilities has 2 rows",
        ),
        (
            Sections((Segment(0, 1, "a"), Segment(1, 2, "b")), (0.5,), ((0.5, 0.5), (1.0,))),
            "rows of different lengths",
        ),
        (MetreParameters(beats_per_bar=()), "beats_per_bar"),
        (MetreParameters(beats_per_bar=(0, 3)), "beats_per_bar"),
        (MetreParameters(min_bpm=200, max_bpm=100), "tempo range"),
        (MetreParameters(min_bpm=0), "tempo range"),
        (MetreParameters(max_bpm=float("inf")), "tempo range"),
        (MetreParameters(min_bpm=float("nan")), "tempo range"),
        (MetreParameters(num_tempi=0), "num_tempi"),
        (MetreParameters(transition_lambda=0), "transition_lambda"),
        (MetreParameters(observation_lambda=1), "observation_lambda"),
        (MetreParameters(threshold=1.5), "threshold"),
        (MetreParameters(threshold=float("nan")), "threshold"),
        (MetreParameters(tempo_prior=TempoPrior(0, 1)), "tempo_prior.bpm"),
        (MetreParameters(tempo_prior=TempoPrior(120, float("nan"))), "tempo_prior.octaves"),
        (MetreParameters(tempo_prior=TempoPrior(120, 1, -1)), "tempo_prior.strength"),
        (alternatives(confidence=1.5), "metre.alternatives"),
        (alternatives(bpm=0.0), "metre.alternatives"),
    ],
)
def test_invalid_values_are_refused_with_a_sentence(record, message):
    with pytest.raises(ContractError, match=message):
        record.validate()


@given(st.integers(1, 10**9))
def test_frames_cover_the_samples_and_no_more(samples):
    frames = frame_count(samples)
    assert (frames - 1) * 441 < samples <= frames * 441


@given(st.lists(st.floats(width=32), min_size=1, max_size=50))
def test_the_first_value_that_is_not_finite_is_found(values):
    array = np.array(values, F32)
    bad = [i for i, value in enumerate(values) if not np.isfinite(value)]
    found = first_not_finite(array)
    assert found is None if not bad else found[0] == (bad[0],)


def test_a_sum_that_overflows_is_not_taken_for_an_infinity():
    assert first_not_finite(np.full(4, 3e38, F32)) is None


def test_promises_are_ordered_and_readable():
    assert [p.rank for p in (IDENTICAL, close(1e-6), event(0.01), LOSSY)] == [0, 1, 1, 2]
    assert str(close(1e-6)) == "within 1e-06"
    assert str(event(0.01)) == "events within 0.01 s"


def test_errors_survive_a_trip_to_another_process():
    error = AudioError("ends early.", remedy="Export it again.", path="a.wav")
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error) == "a.wav: ends early. Export it again."
    assert copy.remedy == "Export it again."
    batch = pickle.loads(pickle.dumps(BatchError([None], {"a.wav": error})))
    assert "1 of 1 tracks failed" in str(batch)
    assert str(batch.errors["a.wav"]) == str(error)


def test_madmoms_decoder_is_called_by_its_own_names():
    parameters = MetreParameters((3,), 60, 180, None, 50.0, 8, 0.1, correct=False)
    assert parameters.madmom_arguments(50.0) == {
        "beats_per_bar": [3],
        "min_bpm": 60,
        "max_bpm": 180,
        "num_tempi": None,
        "transition_lambda": 50.0,
        "observation_lambda": 8,
        "threshold": 0.1,
        "correct": False,
        "fps": 50.0,
    }
    with pytest.raises(ContractError, match="does not support a prior over tempo"):
        MetreParameters(tempo_prior=TempoPrior(120, 0.7)).madmom_arguments(100.0)


def test_sections_must_have_a_strength_for_each_inner_boundary_and_labels_for_each_segment() -> (
    None
):
    segments = (Segment(0.0, 1.0, "verse"), Segment(1.0, 2.0, "chorus"))
    labels = (0.1,) * 10
    Sections(segments, (0.5,), (labels, labels)).validate()
    with pytest.raises(ContractError, match="boundary_strengths"):
        Sections(segments, (0.5, 0.5)).validate()
    with pytest.raises(ContractError, match="label_probabilities"):
        Sections(segments, None, (labels,)).validate()
    with pytest.raises(ContractError, match="label_probabilities"):
        Sections(segments, None, (labels, labels[1:])).validate()
