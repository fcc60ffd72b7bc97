from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from allin1_core.runtime.tempo import estimate_bpm


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
