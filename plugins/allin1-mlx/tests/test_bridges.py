from __future__ import annotations

import threading

import mlx.core as mx
import numpy as np
import pytest

from allin1_backend_mlx.bridges import between_devices, from_numpy, to_numpy


def test_mlx_to_numpy_shares_its_memory():
    array = mx.arange(6)
    one, other = to_numpy(array), to_numpy(array)
    assert np.shares_memory(one, other)


def test_mlx_never_writes_to_the_shared_numpy_array():
    array = np.arange(1000, dtype=np.float32)
    moved = from_numpy(array, "cpu")
    moved = moved * 2  # MLX may reuse memory that nothing else refers to
    mx.eval(moved)
    np.testing.assert_array_equal(array, np.arange(1000))


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_types_and_values_survive_the_round_trip(put, dtype):
    array = np.arange(-5, 19).reshape(4, 6).astype(dtype)
    back = to_numpy(put(array))
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("writeable", [True, False])
@pytest.mark.parametrize(
    "view",
    [
        lambda a: a,
        lambda a: a[::-1],
        lambda a: a[:, ::2],
        lambda a: a.T,
        lambda a: a[1:1],
        lambda a: a.astype(">f4"),
    ],
    ids=["plain", "reversed", "strided", "transposed", "empty", "big-endian"],
)
def test_any_layout_is_read(put, view, writeable):
    array = view(np.arange(24, dtype=np.float32).reshape(4, 6)).view()
    array.setflags(write=writeable)
    np.testing.assert_array_equal(to_numpy(put(array)), array)


def test_a_view_of_mlx_is_read_in_its_own_order():
    array = mx.arange(24).reshape(4, 6).T[::2]
    np.testing.assert_array_equal(to_numpy(array), np.arange(24).reshape(4, 6).T[::2])


@pytest.mark.parametrize("leave", [lambda a: from_numpy(a, "cpu"), None])
def test_moved_arrays_can_be_used_by_another_thread(leave):
    # MLX refuses to compute what another thread has asked for.
    array = leave(np.ones(5, np.float32)) if leave else between_devices(mx.ones(5) * 2, "gpu")
    sums = []
    thread = threading.Thread(target=lambda: sums.append((array + 1).sum().item()))
    thread.start()
    thread.join()
    assert sums == [10 if leave else 15]
