"""The residual branch of Demucs: every instruction set against its definition, in double precision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from allin1_backend_cython._dconv import BLOCK, Branch
from allin1_backend_cython._isa import instruction_sets
from allin1_backend_cython.dconv import DConv, Layer
from allin1_backend_cython.dconv_packing import pack
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

erf = np.vectorize(math.erf, otypes=[np.float64])


def layer(channels: int, hidden: int, dilation: int = 1, seed: int = 0) -> Layer:
    rng = np.random.default_rng(seed)

    def normal(*shape: int, mean: float = 0.0, deviation: float = 0.3) -> NDArray[np.float32]:
        return rng.normal(mean, deviation, shape).astype(np.float32)

    return Layer(
        narrow_weight=normal(hidden, channels, 3),
        narrow_bias=normal(hidden),
        dilation=dilation,
        narrow_gain=normal(hidden, mean=1.0),
        narrow_shift=normal(hidden),
        narrow_eps=1e-5,
        widen_weight=normal(2 * channels, hidden),
        widen_bias=normal(2 * channels),
        widen_gain=normal(2 * channels, mean=1.0),
        widen_shift=normal(2 * channels),
        widen_eps=1e-5,
        scale=normal(channels),
    )


def by_definition(layers: list[Layer], x: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the branch on ``[C, T]`` directly from its definition."""

    def norm(
        values: NDArray[Any], gain: NDArray[Any], shift: NDArray[Any], eps: float
    ) -> NDArray[Any]:
        normal = (values - values.mean()) / np.sqrt(values.var() + eps)
        return np.asarray(normal * gain[:, None] + shift[:, None])

    x = x.astype(np.float64)
    for own in layers:
        d, length = own.dilation, x.shape[1]
        padded = np.pad(x, ((0, 0), (d, d)))
        h = np.zeros((len(own.narrow_bias), length))
        for tap in range(3):
            h += own.narrow_weight[:, :, tap].astype(np.float64) @ padded[:, tap * d :][:, :length]
        h = norm(h + own.narrow_bias[:, None], own.narrow_gain, own.narrow_shift, own.narrow_eps)
        h = h * (1 + erf(h / math.sqrt(2))) / 2
        y = own.widen_weight.astype(np.float64) @ h + own.widen_bias[:, None]
        value, gate = np.split(norm(y, own.widen_gain, own.widen_shift, own.widen_eps), 2)
        x = x + own.scale[:, None] * value * (1 + np.tanh(gate / 2)) / 2
    return x


def signal(*shape: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def error(wanted: NDArray[Any], out: NDArray[Any]) -> float:
    """Return the largest difference, in units of the root mean square."""
    return float(np.abs(out - wanted).max() / np.sqrt(np.square(wanted).mean()))


@pytest.mark.parametrize(
    "length", [1, 2, 3, 7, 16, 31, 32, 33, 35, 64, 97, 336, 511, 512, 513, 1601]
)
def test_a_signal_of_any_length(isa: str, length: int) -> None:
    layers = [layer(16, 6, 1, seed=2), layer(16, 6, 2, seed=3)]
    x = signal(16, length)
    wanted = by_definition(layers, x)
    DConv(layers, instructions=isa)(x, threads=1)
    assert error(wanted, x) < 3e-6


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("hidden", [1, 2, 3, 4, 5, 6, 7, 11, 12, 24])
def test_any_number_of_channels(isa: str, channels: int, hidden: int) -> None:
    layers = [layer(channels, hidden, 3, seed=hidden)]
    x = signal(channels, 70)
    wanted = by_definition(layers, x)
    DConv(layers, instructions=isa)(x, threads=1)
    assert error(wanted, x) < 3e-6


@pytest.mark.parametrize(("channels", "hidden"), [(48, 6), (96, 12), (192, 24), (384, 48)])
def test_the_sizes_of_htdemucs(isa: str, channels: int, hidden: int) -> None:
    layers = [layer(channels, hidden, 1, seed=5), layer(channels, hidden, 2, seed=6)]
    x = signal(channels, 3, 336)
    wanted = np.stack([by_definition(layers, x[:, n]) for n in range(3)], axis=1)
    DConv(layers, instructions=isa)(x, threads=1)
    assert error(wanted, x) < 3e-6


def test_slices_are_independent_signals(isa: str) -> None:
    layers = [layer(8, 3, 1), layer(8, 3, 2, seed=1)]
    x = signal(8, 5, 77)
    wanted = np.stack([by_definition(layers, x[:, n]) for n in range(5)], axis=1)
    DConv(layers, instructions=isa)(x, threads=2)
    assert error(wanted, x) < 3e-6


@settings(max_examples=30, deadline=None)
@given(
    channels=st.integers(1, 20),
    hidden=st.integers(1, 13),
    dilation=st.integers(1, 40),
    length=st.integers(8, 150),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_size(channels: int, hidden: int, dilation: int, length: int, seed: int) -> None:
    layers = [layer(channels, hidden, dilation, seed)]
    x = signal(channels, length, seed=seed)
    wanted = by_definition(layers, x)
    DConv(layers)(x, threads=1)
    assert error(wanted, x) < 2e-5


def test_threads_do_not_change_a_bit(isa: str) -> None:
    layers = [layer(12, 5, 1), layer(12, 5, 2, seed=1)]
    for shape in ((12, 9, 100), (12, 7 * BLOCK + 5)):
        results = []
        for threads in (1, 2, 3):
            x = signal(*shape)
            DConv(layers, instructions=isa)(x, threads=threads)
            results.append(x)
        np.testing.assert_array_equal(results[1], results[0])
        np.testing.assert_array_equal(results[2], results[0])


def test_rows_and_slices_may_have_any_strides_and_no_other_memory_is_written() -> None:
    own = DConv([layer(6, 4)])
    for shape in ((6, 3, 45), (6, 45)):
        wanted = signal(*shape)
        around = np.full((*(2 * n for n in shape[:-1]), 60), np.nan, np.float32)
        inside = around[tuple(slice(None, None, 2) for _ in shape[:-1])][..., 5:50]
        inside[:] = wanted
        own(wanted)
        own(inside)
        np.testing.assert_array_equal(inside, wanted)
        assert np.isnan(around).sum() == around.size - inside.size


def test_a_mean_far_from_zero_does_not_spoil_the_variance() -> None:
    layers = [layer(8, 4)]
    x = signal(8, 900) + np.float32(50)
    wanted = by_definition(layers, x)
    DConv(layers)(x, threads=1)
    assert error(wanted, x) < 1e-5


def test_saturated_gates_are_within_the_tolerance() -> None:
    own = layer(4, 2)
    for factor in (1e-6, 30.0, 1e4):
        large = Layer(**{**vars(own), "widen_gain": own.widen_gain * np.float32(factor)})
        x = signal(4, 200)
        wanted = by_definition([large], x)
        DConv([large])(x, threads=1)
        # The slope of a gate, and with it the rounding error, is proportional to the gain in front of it.
        assert error(wanted, x) < 2e-6 * max(1.0, factor)


def test_nan_spreads_only_within_its_slice(isa: str) -> None:
    x = signal(4, 2, 50)
    x[1, 0, 7] = np.nan
    DConv([layer(4, 2)], instructions=isa)(x, threads=1)
    assert np.isnan(x[:, 0]).all()
    assert np.isfinite(x[:, 1]).all()


def test_a_branch_without_layers_changes_nothing() -> None:
    x = signal(4, 10)
    before = x.copy()
    DConv([])(x, threads=1)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("threads", [1, 2])
def test_empty_signals_are_accepted(threads: int) -> None:
    for shape in ((4, 0), (4, 0, 20), (4, 3, 0)):
        DConv([layer(4, 2)])(np.empty(shape, np.float32), threads=threads)


def test_arrays_of_wrong_shapes_are_refused() -> None:
    own = DConv([layer(4, 2)])
    for shape in ((5, 20), (5, 3, 20), (20,)):
        with pytest.raises(ValueError, match=r"x must be"):
            own(signal(*shape))
    with pytest.raises(ValueError, match="contiguous"):
        own(signal(4, 20)[:, ::2])
    with pytest.raises(ValueError, match="dtype|type"):
        own(signal(4, 20).astype(np.float64))  # type: ignore[arg-type]
    wrong = layer(4, 2)
    with pytest.raises(ValueError, match="three taps"):
        pack(Layer(**{**vars(wrong), "widen_weight": wrong.widen_weight[1:]}))
    with pytest.raises(ValueError, match="fit together"):
        DConv([Layer(**{**vars(wrong), "scale": wrong.scale[1:]})])
    with pytest.raises(ValueError, match="fit together"):
        DConv([layer(4, 2), layer(5, 2)])
    with pytest.raises(ValueError, match="no kernel"):
        Branch([pack(wrong)], "mmx")
    branch = Branch([pack(wrong)], instruction_sets()[0])
    with pytest.raises(ValueError, match="range of slices"):
        branch.slices(signal(4, 2, 20), 1, 3)
    with pytest.raises(ValueError, match="layer is out of range"):
        branch.hidden(1)
