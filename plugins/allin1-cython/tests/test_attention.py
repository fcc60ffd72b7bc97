"""Attention: every instruction set that has a kernel against its definition, in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from allin1_backend_cython import _attention
from allin1_backend_cython._isa import instruction_sets
from allin1_backend_cython.attention import STEP, attend, is_available
from allin1_backend_cython.running import ISA_VARIABLE
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray


@pytest.fixture(params=["avx512", "avx2"])
def own(request: pytest.FixtureRequest) -> str:
    """Name of each instruction set that has a kernel and that this processor runs."""
    if request.param not in instruction_sets():
        pytest.skip(f"this processor does not support {request.param}")
    return str(request.param)


#: For tests of what does not depend on the instruction set.
needs_a_kernel = pytest.mark.skipif(
    not set(_attention.instruction_sets()) & set(instruction_sets()),
    reason="there is a kernel for AVX2 and AVX-512 only",
)


def by_definition(
    q: NDArray[Any], k: NDArray[Any], v: NDArray[Any], heads: int
) -> NDArray[np.float64]:
    """Compute attention on ``[segments, tokens, channels]`` directly from its definition."""
    q, k, v = (x.astype(np.float64).reshape(*x.shape[:2], heads, -1) for x in (q, k, v))
    scores = np.einsum("nqhc,nkhc->nhqk", q, k) / np.sqrt(q.shape[3])
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    seen = np.einsum("nhqk,nkhc->nqhc", weights, v)
    return np.asarray(seen.reshape(*q.shape[:2], -1), np.float64)


def normal(*shape: int, seed: int = 0, deviation: float = 1.0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, deviation, shape).astype(np.float32)


def problem(
    queries: int, keys: int, channels: int, segments: int = 1, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    lengths = (queries, keys, keys)
    q, k, v = (
        normal(segments, length, channels, seed=3 * seed + n) for n, length in enumerate(lengths)
    )
    return q, k, v


def seen(
    q: NDArray[np.float32], k: NDArray[np.float32], v: NDArray[np.float32], **options: Any
) -> NDArray[np.float32]:
    out = np.full(q.shape, np.nan, np.float32)
    attend(q, k, v, out, **{"threads": 1, **options})
    return out


def error(wanted: NDArray[Any], out: NDArray[Any]) -> float:
    """Return the largest difference, in units of the root mean square."""
    return float(np.abs(out - wanted).max() / np.sqrt(np.square(wanted).mean()))


@pytest.mark.parametrize("queries", [1, 23, 24, 25, 47, 48, 49, 100])
@pytest.mark.parametrize("keys", [1, 3, 4, 5, 8, 127, 128, 129, 300])
def test_any_number_of_queries_and_keys(own: str, queries: int, keys: int) -> None:
    q, k, v = problem(queries, keys, 16, seed=queries + keys)
    assert error(by_definition(q, k, v, 1), seen(q, k, v, heads=1, instructions=own)) < 1e-5


@pytest.mark.parametrize(("heads", "width"), [(1, 8), (2, 24), (8, 48), (8, 64), (1, 200)])
def test_any_number_and_width_of_heads(own: str, heads: int, width: int) -> None:
    q, k, v = problem(60, 150, heads * width, segments=2, seed=width)
    wanted = by_definition(q, k, v, heads)
    assert error(wanted, seen(q, k, v, heads=heads, instructions=own)) < 1e-5


@settings(max_examples=30, deadline=None)
@given(
    queries=st.integers(1, 200),
    keys=st.integers(1, 400),
    heads=st.integers(1, 3),
    steps=st.integers(1, 4),
    seed=st.integers(0, 2**20),
)
@needs_a_kernel
def test_any_size(queries: int, keys: int, heads: int, steps: int, seed: int) -> None:
    q, k, v = problem(queries, keys, heads * steps * STEP, seed=seed)
    assert error(by_definition(q, k, v, heads), seen(q, k, v, heads=heads)) < 1e-5


def test_many_keys_do_not_add_up_rounding_errors(own: str) -> None:
    q, k, v = problem(48, 20_000, 64, seed=5)
    wanted = by_definition(q, k, v, 1)
    difference = seen(q, k, v, heads=1, instructions=own) - wanted
    assert np.sqrt(np.square(difference).mean() / np.square(wanted).mean()) < 1e-6


@pytest.mark.parametrize("factor", [1e-20, 1.0, 1e3, 1e18])
@pytest.mark.parametrize("rising", [False, True])
def test_scores_of_any_size(own: str, factor: float, rising: bool) -> None:
    # One score stands out, in the first or in the last block of keys.
    q, k, v = problem(30, 300, 8)
    q[:], k[:] = 1, 0
    k[0, 299 if rising else 0] = factor
    wanted = by_definition(q, k, v, 1)
    assert error(wanted, seen(q, k, v, heads=1, instructions=own)) < 1e-5


def test_equal_scores_give_the_mean(own: str) -> None:
    q, k, v = problem(5, 1000, 8)
    k[:] = k[:, :1]
    out = seen(q, k, v, heads=1, instructions=own)
    wanted = np.broadcast_to(v.mean(axis=1, dtype=np.float64), out[0].shape)[None]
    np.testing.assert_allclose(out, wanted, rtol=0, atol=1e-6)


def test_weights_of_one_add_up_to_one(own: str) -> None:
    q, k, v = problem(50, 700, 32, seed=8)
    v[:] = 1
    out = seen(q, k, v, heads=1, instructions=own)
    np.testing.assert_allclose(out, 1, rtol=0, atol=1e-6)


def test_threads_do_not_change_a_bit(own: str) -> None:
    for segments, heads in ((1, 1), (1, 3), (2, 4)):
        q, k, v = problem(230, 150, 16 * heads, segments=segments)
        wanted = seen(q, k, v, heads=heads, instructions=own)
        for threads in (2, 3, 7, 20):
            out = seen(q, k, v, heads=heads, instructions=own, threads=threads)
            np.testing.assert_array_equal(out, wanted)


@needs_a_kernel
def test_rows_and_segments_may_have_any_strides_and_no_other_memory_is_written() -> None:
    both = normal(4, 60, 3, 32)
    q, k, v = (both[::2, ::2, n] for n in range(3))
    around = np.full((4, 60, 48), np.nan, np.float32)
    out = around[::2, ::2, 8:40]
    attend(q, k, v, out, heads=4, threads=2)
    wanted = seen(*(np.ascontiguousarray(x) for x in (q, k, v)), heads=4)
    np.testing.assert_array_equal(out, wanted)
    assert np.isnan(around).sum() == around.size - out.size


def test_nan_spreads_only_to_the_queries_that_see_it(own: str) -> None:
    q, k, v = problem(60, 140, 16)
    q[0, 5, 2] = np.nan
    out = seen(q, k, v, heads=2, instructions=own)
    assert np.isnan(out[0, 5, :8]).all()
    assert np.isnan(out).sum() == 8
    q, k, v = problem(60, 140, 16)
    k[0, 139, 9] = np.nan
    out = seen(q, k, v, heads=2, instructions=own)
    assert np.isnan(out[0, :, 8:]).all()
    assert np.isfinite(out[0, :, :8]).all()


@needs_a_kernel
@pytest.mark.parametrize("threads", [1, 2])
def test_no_queries_or_segments_are_accepted(threads: int) -> None:
    for segments, queries in ((1, 0), (0, 5)):
        q, k, v = problem(queries, 5, 8, segments=segments)
        attend(q, k, v, np.empty_like(q), heads=1, threads=threads)


@needs_a_kernel
def test_arrays_of_wrong_shapes_are_refused() -> None:
    q, k, v = problem(20, 30, 32)
    out = np.empty_like(q)
    for arrays, message in (
        ((q, k[:, :, :16], v, out), "k must have as many"),
        ((q, k, np.concatenate([v, v]), out), "v must have as many"),
        ((q, k, v[:, 1:], out), "as long as"),
        ((q, k, v, out[:, 1:]), "as long as"),
        ((q, k[:, :0], v[:, :0], out), "must be keys"),
        ((np.asfortranarray(q), k, v, out), "channels of q must be contiguous"),
        ((q.astype(np.float64), k, v, out), "dtype|type"),
        ((q[0], k, v, out), "dimensions"),
    ):
        with pytest.raises(ValueError, match=message):
            attend(*arrays, heads=2, threads=1)
    for heads, message in ((0, "at least 1"), (3, "multiple of 8"), (8, "multiple of 8")):
        with pytest.raises(ValueError, match=message):
            attend(q, k, v, out, heads=heads, threads=1)
    with pytest.raises(ValueError, match="no kernel"):
        attend(q, k, v, out, heads=2, instructions=instruction_sets()[-1])
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        attend(q, k, v, out, heads=2)


def test_it_is_available_if_the_chosen_instruction_set_has_a_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(ISA_VARIABLE, raising=False)
    assert is_available() == (instruction_sets()[0] in ("avx512", "avx2"))
    monkeypatch.setenv(ISA_VARIABLE, "scalar")
    assert not is_available()
