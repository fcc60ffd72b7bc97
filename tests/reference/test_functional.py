from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allin1_core.contracts.logits import HARMONIX_LABELS, Logits
from allin1_core.contracts.sections import Segment
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference.activation_functions import sigmoid
from allin1_core.reference.functional import boundary_frames, create, functional
from allin1_core.testing import signals


def segments(section, function=None):
    frames = len(section)
    if function is None:
        function = np.zeros((10, frames), np.float32)
    logits = Logits(
        np.zeros(frames, np.float32),
        np.zeros(frames, np.float32),
        np.asarray(section, np.float32),
        function,
    )
    return create(Setup())(logits, Task()).validate().segments


def peaks_at(frames, total, height=3.0, floor=-200.0):
    section = np.full(total, floor, np.float32)
    for frame in frames:
        section[frame] = height
    return section


def boundaries_from_the_definition(probability):
    """Slow, window by window, in float64: the oracle."""
    total = len(probability)
    probability = probability.astype(np.float64)
    kept = np.zeros(total)
    for t in range(total):
        if probability[t] == probability[max(0, t - 48) : t + 49].max():
            kept[t] = probability[t]
    found = []
    for t in range(total):
        before, after = kept[max(0, t - 1200) : t], kept[t + 1 : t + 1201]
        highest = max([kept[t], *before[-1200:], *after])
        strength = kept[t] - (before.sum() / 1200 + after.sum() / 1200) / 2
        if kept[t] > 0 and kept[t] == highest and strength > 0:
            found.append(t)
    return found


@pytest.mark.parametrize("model", ["fold0", "ensemble"])
@pytest.mark.parametrize("song", ["francium_excerpt", "synthetic_4_4", "synthetic_3_4"])
def test_it_gives_the_segments_of_allin1(golden, song, model):
    # allin1 1.1.0's own post-processing of these logits.
    result = golden(f"{song}.json")
    expected = result.get("upstream", result)[model]["segments"]
    arrays = golden(f"{song}.npz")
    found = segments(arrays[f"{model}_logits_section"], arrays[f"{model}_logits_function"])
    assert [vars(s) for s in found] == expected


@pytest.mark.parametrize("total", [1, 2, 48, 49, 97, 98, 1199, 1201, 2400, 2402, 5000])
def test_boundaries_follow_the_definition(total):
    rng = np.random.default_rng(total)
    # Rounded, so that there are equal values near each other.
    smooth = np.convolve(rng.normal(size=total + 40), np.ones(41) / 41, "valid")
    probability = np.round(1 / (1 + np.exp(-8 * smooth)), 2).astype(np.float32)
    assert boundary_frames(probability).tolist() == boundaries_from_the_definition(probability)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 600), st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_boundaries_follow_the_definition_with_many_equal_values(total, values, seed):
    levels = np.linspace(0, 1, values, dtype=np.float32)
    probability = np.random.default_rng(seed).choice(levels, total)
    assert boundary_frames(probability).tolist() == boundaries_from_the_definition(probability)


def test_each_peak_far_from_others_is_a_boundary():
    section = peaks_at([1500, 3200, 5000], 8000)
    assert [s.start for s in segments(section)] == [0, 15.0, 32.0, 50.0]


def test_of_two_peaks_within_twelve_seconds_the_higher_is_a_boundary():
    section = peaks_at([1500], 8000)
    section[1500 + 1200] = 4.0
    assert [s.start for s in segments(section)] == [0, 27.0]
    section = peaks_at([1500], 8000)
    section[1500 + 1201] = 4.0
    assert [s.start for s in segments(section)] == [0, 15.0, 27.01]


def test_the_first_boundary_may_be_frame_zero():
    found = segments(peaks_at([0, 4000], 8000))
    assert [(s.start, s.end) for s in found] == [(0.0, 40.0), (40.0, 80.0)]


def test_without_a_boundary_there_is_one_segment():
    # The sigmoid of these is 0 in float32; allin1 1.1.0 raises an IndexError here.
    function = np.zeros((10, 777), np.float32)
    function[HARMONIX_LABELS.index("verse")] = 1
    assert segments(np.full(777, -200.0), function) == (Segment(0.0, 7.77, "verse"),)


def test_one_frame_is_one_segment():
    assert segments([0.5]) == (Segment(0.0, 0.01, "start"),)


def test_a_label_is_that_of_the_highest_mean_probability():
    function = np.full((10, 4000), -4.0, np.float32)
    verse, chorus = HARMONIX_LABELS.index("verse"), HARMONIX_LABELS.index("chorus")
    # "chorus" in more frames; "verse" with a higher logit in few, which the softmax bounds.
    function[chorus, :2000] = 0
    function[verse, :400] = 100
    function[verse, 2000:] = 1
    found = segments(peaks_at([2000], 4000), function)
    assert [s.label for s in found] == ["chorus", "verse"]


def test_equal_labels_side_by_side_stay_apart():
    found = segments(peaks_at([2000], 4000))
    assert [s.label for s in found] == ["start", "start"]


def test_times_are_python_floats_and_end_with_the_last_frame():
    found = segments(peaks_at([2000], 4001))
    assert {type(t) for s in found for t in (s.start, s.end)} == {float}
    assert found[-1].end == 4001 * 441 / 44100


def test_a_constant_song_is_handled():
    # Every frame is a candidate: the surroundings are averaged in parts.
    probability = np.full(3000, 0.5, np.float32)
    assert boundary_frames(probability).tolist() == boundaries_from_the_definition(probability)


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_large_logits_give_no_warning(size):
    rng = np.random.default_rng(0)
    function = (size * rng.normal(size=(10, 500))).astype(np.float32)
    found = segments(np.full(500, size, np.float32), function)
    assert found[0].start == 0
    assert found[-1].end == 5


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 4000), st.integers(0, 2**32 - 1))
def test_segments_cover_the_song_and_the_input_is_not_modified(total, seed):
    rng = np.random.default_rng(seed)
    section = rng.normal(-4, 3, (total, 2)).astype(np.float32)
    function = rng.normal(0, 3, (total, 10)).astype(np.float32)
    kept = section.copy(), function.copy()
    section.flags.writeable = function.flags.writeable = False
    found = segments(section[:, 0], function.T)
    assert found[0].start == 0
    assert found[-1].end == total * 441 / 44100
    assert {s.label for s in found} <= set(HARMONIX_LABELS)
    np.testing.assert_array_equal(section, kept[0])
    np.testing.assert_array_equal(function, kept[1])


def test_strengths_are_the_peaks_and_label_probabilities_the_means() -> None:
    logits = signals.song_logits(9001)
    sections = functional(logits, Task()).validate()
    assert sections.boundary_strengths is not None
    assert sections.label_probabilities is not None
    assert len(sections.segments) > 2
    probability = sigmoid(logits.section)
    frames = [round(one.start * 100) for one in sections.segments[1:]]
    assert list(sections.boundary_strengths) == [float(probability[frame]) for frame in frames]
    for one, row in zip(sections.segments, sections.label_probabilities, strict=True):
        assert sum(row) == pytest.approx(1, abs=1e-5)
        assert HARMONIX_LABELS[int(np.argmax(row))] == one.label
