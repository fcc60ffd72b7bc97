from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from allin1_core.contracts.logits import Logits
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference.metrical_prep import create


def activations(beat, downbeat):
    frames = len(beat)
    logits = Logits(
        np.asarray(beat, np.float32),
        np.asarray(downbeat, np.float32),
        np.zeros(frames, np.float32),
        np.zeros((10, frames), np.float32),
    )
    return create(Setup())(logits, Task())


def in_float64(beat, downbeat):
    """The formula of the original, one frame at a time in double precision."""
    rows = []
    for x, y in zip(np.float64(beat), np.float64(downbeat), strict=True):
        b, d = 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(-y))
        three = [max(1e-8, b - d), d, 1 - (b + d) / 2]
        rows.append([p / sum(three) for p in three[:2]])
    return np.array(rows)


def test_it_follows_the_formula_in_double_precision():
    rng = np.random.default_rng(0)
    beat = rng.normal(-4, 4, 2000).astype(np.float32)
    downbeat = rng.normal(-5, 4, 2000).astype(np.float32)
    result = activations(beat, downbeat).validate()
    assert result.values.dtype == np.float32
    assert result.frames_per_second == 100
    np.testing.assert_allclose(result.values, in_float64(beat, downbeat), rtol=0, atol=3e-7)


def test_small_probabilities_keep_their_relative_precision():
    beat = np.linspace(-30, -10, 500, dtype=np.float32)
    downbeat = beat - np.float32(2)
    values = activations(beat, downbeat).values
    np.testing.assert_allclose(values[:, 1], in_float64(beat, downbeat)[:, 1], rtol=3e-6)


@pytest.mark.parametrize(
    ("beat", "downbeat", "expected"),
    [
        (-1e4, -1e4, (1e-8, 0)),
        (1e4, -1e4, (1 / 1.5, 0)),
        (-1e4, 1e4, (1e-8 / 1.5, 1 / 1.5)),
        (1e4, 1e4, (1e-8, 1)),
    ],
)
def test_saturated_logits_give_finite_values_and_no_warning(beat, downbeat, expected):
    values = activations([beat], [downbeat]).values
    np.testing.assert_allclose(values, [expected], rtol=1e-6)


@given(
    arrays(
        np.float32,
        st.tuples(st.just(2), st.integers(1, 50)),
        elements=st.floats(-1000, 1000, width=32),
    )
)
def test_rows_are_probabilities_and_the_input_is_not_modified(logits):
    logits.flags.writeable = False
    kept = logits.copy()
    values = activations(logits[0], logits[1]).values
    assert values.shape == (logits.shape[1], 2)
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert (values.sum(axis=1) <= 1 + 2e-7).all()
    np.testing.assert_array_equal(logits, kept)


def test_strided_views_give_the_same_as_contiguous_arrays():
    both = np.random.default_rng(1).normal(size=(100, 2)).astype(np.float32)
    strided = activations(both[::-1, 0], both[::-1, 1]).values
    packed = activations(both[::-1, 0].copy(), both[::-1, 1].copy()).values
    np.testing.assert_array_equal(strided, packed)
