from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allin1_core.reference.network_gelu import gelu


def exact(x):
    # erfc, and not 1 + erf, so that the far negative side keeps its digits.
    return np.array([v * math.erfc(-v / math.sqrt(2)) / 2 for v in x.ravel().tolist()]).reshape(
        x.shape
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-7), (np.float64, 1e-15)])
def test_agrees_with_the_error_function_of_the_math_module(dtype, tolerance):
    x = np.linspace(-15, 15, 200_001).astype(dtype)
    y = gelu(x)
    assert y.dtype == dtype
    assert np.all(np.abs(y - exact(x)) <= tolerance * np.maximum(1, np.abs(x)))


@given(st.floats(-(2.0**60), 2.0**60, width=32))
def test_is_right_for_any_magnitude(value):
    x = np.array([value], np.float32)
    assert gelu(x)[0] == pytest.approx(exact(x)[0], rel=2e-7, abs=1e-7)


def test_keeps_shape_and_input_across_many_chunks():
    x = np.random.default_rng(0).standard_normal((3, 50_000, 2))
    x.setflags(write=False)
    y = gelu(x)
    assert y.shape == x.shape
    np.testing.assert_allclose(y[:, ::1000], exact(x[:, ::1000]), atol=1e-15)


def test_accepts_arrays_that_are_not_contiguous():
    x = np.random.default_rng(0).standard_normal((40, 30))
    np.testing.assert_array_equal(gelu(x[::2, 1::3]), gelu(x[::2, 1::3].copy()))
    np.testing.assert_array_equal(gelu(x.T), gelu(x).T)
