from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allin1_core.contracts.spectrogram import MEDIAN_REACH
from allin1_core.reference.running_median import neighbours, running_median

WIDTH = 2 * MEDIAN_REACH + 1


def median(frames):
    return running_median(frames, np.minimum, np.maximum, np.where)


def by_sorting(frames):
    windows = np.lib.stride_tricks.sliding_window_view(frames, WIDTH, axis=0)
    return np.sort(windows, axis=-1)[..., MEDIAN_REACH]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 90), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_it_is_the_middle_of_each_sorted_window(frames, kinds, seed):
    # Few kinds of values, so that many windows hold equal ones.
    values = np.random.default_rng(seed).integers(0, kinds, (frames + WIDTH - 1, 5))
    values = values.astype(np.float32)
    before = values.copy()
    np.testing.assert_array_equal(median(values), by_sorting(values))
    np.testing.assert_array_equal(values, before)


def test_every_zero_one_window_is_right():
    # What sorts every sequence of zeros and ones sorts everything (Knuth's principle); here for all counts of ones in all
    # rotations and a thousand random orders.
    rng = np.random.default_rng(0)
    rows = [
        np.roll(np.arange(WIDTH) < ones, turn) for ones in range(WIDTH + 1) for turn in range(WIDTH)
    ]
    rows += [
        rng.permutation(np.arange(WIDTH) < ones) for ones in range(WIDTH + 1) for _ in range(32)
    ]
    windows = np.array(rows, np.float32).T
    np.testing.assert_array_equal(median(windows)[0], windows.sum(axis=0) > MEDIAN_REACH)


def test_infinities_are_values_like_others():
    values = np.random.default_rng(1).standard_normal((100, 3))
    values[20:60, 1] = np.inf
    values[40:70, 2] = -np.inf
    np.testing.assert_array_equal(median(values), by_sorting(values))


@pytest.mark.parametrize("total", [1, 2, 14, 15, 16, 31, 100])
def test_a_signal_is_mirrored_at_its_ends_with_the_last_frame_twice(total):
    wanted = np.pad(np.arange(total), MEDIAN_REACH, mode="symmetric")
    np.testing.assert_array_equal(neighbours(0, total, total), wanted)
    first, stop = total // 3, total // 3 + 1
    np.testing.assert_array_equal(neighbours(first, stop, total), wanted[first : stop + WIDTH - 1])
