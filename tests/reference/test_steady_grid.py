from __future__ import annotations

import numpy as np
import pytest

from allin1_core.contracts.logits import Activations
from allin1_core.contracts.metre import MetreParameters
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference import metrical_dbn
from allin1_core.reference.steady_grid import correction_warning, find_grid, on_grid

THRESHOLD = 0.24


def beats_of(bpm=128.0, seconds=80.0, first=0.3):
    """Times of the beats of a steady tempo."""
    return np.arange(first, seconds, 60 / bpm)


def heard(times, *, height=0.8, seconds=80.0, seed=0):
    """Activations of beats at these times, each fourth a downbeat, with noise."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0, 0.02, (int(seconds * 100), 2))
    frames = np.arange(len(values))
    for n, time in enumerate(times):
        bump = height * rng.uniform(0.8, 1) * np.exp(-(((frames - time * 100) / 1.2) ** 2) / 2)
        values[:, int(n % 4 == 0)] += bump
    return Activations(np.clip(values, 0, 0.49).astype(np.float32))


def with_off_beats(times, start, stop, height=0.8):
    """Activations in which the beats of a passage are heard half a beat late."""
    late = (times >= start) & (times < stop)
    return heard(times + late * np.diff(times)[0] / 2, height=height)


def decode(activations, **parameters):
    metre = MetreParameters(threshold=THRESHOLD, **parameters)
    return metrical_dbn.create(Setup(metre=metre))(activations, Task())


def corrected(activations):
    """Beats after the correction; there must be one."""
    grid = find_grid(activations, decode(activations).beat_times_s)
    assert grid is not None
    return decode(on_grid(activations, grid, THRESHOLD))


@pytest.mark.parametrize("bpm", [63.0, 97.3, 128.0, 174.0])
def test_a_passage_on_the_off_beat_is_put_onto_the_line_of_the_rest(bpm):
    times = beats_of(bpm)
    activations = with_off_beats(times, 30, 50)
    before = decode(activations).beat_times_s
    nearest = np.abs(before[:, np.newaxis] - times).min(axis=1)
    assert (nearest > 0.07).sum() > 10  # as found without the correction

    metre = corrected(activations)
    assert len(metre.beat_times_s) == len(times)
    np.testing.assert_allclose(metre.beat_times_s, times, atol=0.03)
    assert set(np.diff(metre.beat_positions) % 4) == {1}  # the bars go on
    assert metre.beat_positions[0] == 1


def test_the_larger_part_of_the_beats_decides():
    times = beats_of()
    activations = with_off_beats(times, 25, 80)
    metre = corrected(activations)
    late = (times[times >= 25] + np.diff(times)[0] / 2)[:-1]  # the last lies behind the end
    np.testing.assert_allclose(metre.beat_times_s[-len(late) :], late, atol=0.03)


def test_beats_that_are_not_heard_are_filled_in_but_not_before_the_song_or_after_it():
    times = beats_of(first=10.0, seconds=70.0)
    quiet, late = slice(44, 60), slice(60, 84)  # whole bars
    there = times.copy()
    there[late] += np.diff(times)[0] / 2
    activations = heard(np.delete(there, quiet))
    metre = corrected(activations)
    assert len(metre.beat_times_s) == len(times)
    np.testing.assert_allclose(metre.beat_times_s, times, atol=0.03)


@pytest.mark.parametrize(
    "times",
    [
        pytest.param(beats_of(), id="all beats on one line"),
        pytest.param(
            np.concatenate([beats_of(120.0, 40.0), np.arange(40.0, 80.0, 60 / 131)]),
            id="two tempi",
        ),
        pytest.param(np.cumsum(np.linspace(0.44, 0.56, 158)), id="slowing down"),
        pytest.param(
            np.cumsum(0.5 + np.random.default_rng(1).normal(0, 0.03, 155)), id="played freely"
        ),
        pytest.param(
            np.concatenate([beats_of(128.0, 40.0), beats_of(128.0, 80.0, 40.2)[1:]]),
            id="a pause of an odd length",
        ),
        pytest.param(beats_of()[:10], id="few beats"),
        pytest.param(np.array([]), id="no beats"),
    ],
)
def test_other_songs_have_no_line(times):
    activations = heard(times)
    assert find_grid(activations, decode(activations).beat_times_s) is None


def test_two_halves_that_disagree_are_not_modified():
    activations = with_off_beats(beats_of(), 42, 80)
    assert find_grid(activations, decode(activations).beat_times_s) is None


def test_activations_of_one_frame_and_of_none_have_no_line():
    for frames in (0, 1, 2):
        activations = Activations(np.zeros((frames, 2), np.float32))
        assert find_grid(activations, np.empty(0)) is None


def test_the_correction_leaves_its_input_and_keeps_to_the_contract():
    times = beats_of()
    activations = with_off_beats(times, 30, 50)
    kept = activations.values.copy()
    grid = find_grid(activations, decode(activations).beat_times_s)
    assert grid is not None
    found = on_grid(activations, grid, THRESHOLD).validate()
    np.testing.assert_array_equal(activations.values, kept)
    assert found.values.dtype == np.float32
    assert found.values.sum(axis=1).max() < 1
    assert grid.period == pytest.approx(6000 / 128, rel=1e-4)
    assert f"{grid.shifted:.0%}" in correction_warning(grid)


def test_the_line_holds_over_hours():
    times = beats_of(128.0, 7200.0)
    late = (times >= 3000) & (times < 4200)
    values = np.full((720_000, 2), 0.001, np.float32)
    values[np.rint((times + late * 30 / 128) * 100).astype(int), 0] = 0.8
    grid = find_grid(Activations(values), times + late * 30 / 128)
    assert grid is not None
    assert grid.first + grid.period * (len(times) - 1) == pytest.approx(times[-1] * 100, abs=1)
