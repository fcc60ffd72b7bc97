from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allin1_core.runtime.tempo import estimate_bpm, fit_tempo


def test_fewer_than_two_beats_have_no_tempo():
    assert estimate_bpm(np.zeros(0)) is None
    assert estimate_bpm(np.array([1.0])) is None


def test_the_most_frequent_tempo_wins_over_the_mean():
    beats = np.cumsum([0.5] * 10 + [0.25, 1.0, 1.0])
    assert estimate_bpm(beats) == 120


def test_of_equally_frequent_tempi_the_fastest_is_taken():
    assert estimate_bpm(np.array([0.0, 0.5, 1.1])) == 120
    assert estimate_bpm(np.array([0.0, 0.6, 1.1])) == 120


@given(st.integers(30, 300), st.integers(2, 50), st.floats(0, 100))
def test_a_steady_tempo_is_found_exactly(bpm, count, start):
    assert estimate_bpm(start + np.arange(count) * 60.0 / bpm) == bpm


def beats_at(bpm: float, seconds: float = 180.0, first: float = 0.37) -> np.ndarray:
    return np.round(np.arange(first, seconds, 60 / bpm), 2)  # on frames of 10 ms, as decoded


@pytest.mark.parametrize("bpm", [60, 71.3, 90, 99.99, 120, 127.5, 128, 140, 174, 200])
def test_a_steady_tempo_is_found_with_decimals(bpm: float) -> None:
    tempo = fit_tempo(beats_at(bpm))
    assert tempo is not None
    assert tempo.bpm == pytest.approx(bpm, abs=0.01)
    assert tempo.first_beat == pytest.approx(0.37, abs=0.004)
    assert tempo.is_steady
    assert tempo.curve is None
    assert tempo.residual < 0.005


@pytest.mark.parametrize("seed", range(20))
def test_missed_added_and_misplaced_beats_do_not_disturb_the_line(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bpm = rng.uniform(60, 200)
    beats = beats_at(bpm)
    beats = np.delete(beats, rng.choice(len(beats) - 1, 3, replace=False) + 1)
    beats[rng.choice(np.arange(1, len(beats)), 3, replace=False)] += 0.05
    extra = (beats[10] + beats[11]) / 2
    tempo = fit_tempo(np.sort(np.append(beats, extra)))
    assert tempo is not None
    assert tempo.bpm == pytest.approx(bpm, abs=0.05)


def test_a_changing_tempo_has_a_curve() -> None:
    beats = np.cumsum(np.linspace(60 / 100, 60 / 140, 200))
    tempo = fit_tempo(beats)
    assert tempo is not None
    assert not tempo.is_steady
    assert tempo.curve is not None
    assert tempo.curve[0][1] == pytest.approx(100, abs=2)
    assert tempo.curve[-1][1] == pytest.approx(140, abs=2)
    assert len(tempo.curve) == 200


def test_few_beats_give_the_tempo_that_there_is() -> None:
    assert fit_tempo(np.array([])) is None
    assert fit_tempo(np.array([1.0])) is None
    two = fit_tempo(np.array([1.0, 1.5]))
    assert two is not None
    assert two.bpm == pytest.approx(120)
    assert two.first_beat == pytest.approx(1.0)


@given(st.lists(st.floats(0.05, 3), min_size=1, max_size=60))
def test_any_rising_beats_give_a_finite_positive_tempo(intervals: list[float]) -> None:
    tempo = fit_tempo(np.cumsum(intervals))
    if len(intervals) < 2:
        assert tempo is None
        return
    assert tempo is not None
    assert 0 < tempo.bpm < 1e5
    assert np.isfinite([tempo.first_beat, tempo.residual]).all()
