from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from allin1_core.exports.grid import anchors_of, predicted

from .conftest import a_song


@given(
    st.integers(0, 1000),
    st.sampled_from([0.001, 0.002, 0.01]),
    st.sampled_from([2, 6, 10]),
    st.sampled_from([0.0, 0.005, 0.05, 0.3]),
)
def test_a_grid_predicts_each_beat_within_its_tolerance(
    seed: int, tolerance_s: float, decimals: int, drift: float
) -> None:
    song = a_song(seed, drift=drift)
    anchors = anchors_of(song, tolerance_s=tolerance_s, decimals=decimals)
    times = predicted(anchors, len(song.result.beats))
    errors = np.abs(np.array(times) - song.result.beats)[1:]  # without the pick-up
    # One interval by itself may be off by what rounding of the tempo does.
    assert errors.max() <= tolerance_s + 60 / 100**2 * 10.0**-decimals
    assert anchors[0].beat == 1
    assert all(round(anchor.bpm, decimals) == anchor.bpm for anchor in anchors)


def test_anchors_are_downbeats_where_the_tolerance_allows() -> None:
    anchors = anchors_of(a_song(3, drift=0.02), tolerance_s=0.005, decimals=10)
    assert len(anchors) > 2
    assert {anchor.position for anchor in anchors} == {1}


def test_one_beat_makes_no_grid() -> None:
    song = a_song()
    result = replace(song.result, beats=[1.0], beat_positions=[1])
    assert anchors_of(replace(song, result=result), tolerance_s=0.002, decimals=2) == []
