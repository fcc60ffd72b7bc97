from __future__ import annotations

import numpy as np
import pytest
import torch

from allin1_backend_torch import bridges
from allin1_backend_torch.bridges import fetch, from_numpy, send, to_device, to_numpy


def test_numpy_to_the_cpu_shares_its_memory():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensor = from_numpy(array, "cpu")
    assert tensor.data_ptr() == array.ctypes.data
    back = to_numpy(tensor, "cpu")
    assert np.shares_memory(back, array)
    np.testing.assert_array_equal(back, array)


def test_a_read_only_array_neither_warns_nor_copies():
    array = np.arange(6, dtype=np.float32)
    array.setflags(write=False)
    tensor = from_numpy(array, "cpu")  # a warning would be an error here
    assert tensor.data_ptr() == array.ctypes.data
    assert not array.flags.writeable
    address = array.ctypes.data
    del array
    assert tensor.data_ptr() == address  # the memory is still alive
    assert tensor.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_types_and_values_survive_the_round_trip(device, put, dtype):
    if device == "mps" and dtype == "float64":
        pytest.skip("MPS has no float64")
    array = np.arange(-5, 19).reshape(4, 6).astype(dtype)
    back = to_numpy(put(array), "cpu")
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::-1],
        lambda a: a[:, ::2],
        lambda a: a.T,
        lambda a: a[1:1],
        lambda a: a.astype(">f4"),
    ],
    ids=["reversed", "strided", "transposed", "empty", "big-endian"],
)
def test_any_layout_is_read(put, view):
    array = view(np.arange(24, dtype=np.float32).reshape(4, 6))
    array = array.view()
    array.setflags(write=False)
    np.testing.assert_array_equal(to_numpy(put(array), "cpu"), array)


def test_an_unaligned_stride_is_copied():
    packed = np.zeros(5, dtype=[("tag", "u1"), ("x", "<f4")])
    packed["x"] = np.arange(5)
    assert from_numpy(packed["x"], "cpu").tolist() == [0, 1, 2, 3, 4]


def test_tensors_move_between_devices(device):
    tensor = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    there = to_device(tensor, device)
    assert there.device.type == torch.device(device).type
    back = to_device(there, "cpu")
    assert back.device.type == "cpu"
    assert torch.equal(back, tensor)


def test_a_tensor_of_a_computation_is_read():
    tensor = torch.ones(3, requires_grad=True) * 2
    np.testing.assert_array_equal(to_numpy(tensor, "cpu"), [2, 2, 2])


SHAPES = [(), (0,), (3, 0), (7,), (8,), (9,), (3, 5, 17)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int8])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_fetched_in_pieces_is_the_whole(device, dtype, shape):
    values = torch.arange(int(np.prod(shape)), dtype=dtype).reshape(shape).to(device)
    for piece_bytes in (1, 8, 64, 1 << 20):
        out = fetch(values, piece_bytes)
        assert out.device.type == "cpu"
        assert out.dtype == dtype
        assert torch.equal(out, values.cpu())


def test_strided_values_are_fetched_too(device):
    values = torch.arange(60.0).view(3, 4, 5).to(device).permute(2, 0, 1)[1:, ::2]
    for piece_bytes in (16, 1 << 20):
        assert torch.equal(fetch(values, piece_bytes), values.cpu())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int8])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_sent_in_pieces_is_the_whole(device, dtype, shape):
    values = torch.arange(int(np.prod(shape)), dtype=dtype).reshape(shape)
    for piece_bytes in (1, 8, 64, 1 << 20):
        out = send(values, torch.device(device), piece_bytes)
        assert out.device.type == torch.device(device).type
        assert out.dtype == dtype
        assert torch.equal(out.cpu(), values)


def test_strided_values_are_sent_too(device):
    values = torch.arange(60.0).view(3, 4, 5).permute(2, 0, 1)[1:, ::2]
    for piece_bytes in (16, 1 << 20):
        assert torch.equal(send(values, torch.device(device), piece_bytes).cpu(), values)


def test_no_buffer_is_filled_again_before_it_was_emptied(monkeypatch):
    events = []
    made = iter(range(100))

    def arrival(device):
        number = next(made)
        events.append(("sent", number))
        return lambda: events.append(("waited for", number))

    monkeypatch.setattr(bridges, "arrival", arrival)
    values = torch.arange(5, dtype=torch.int8)
    assert torch.equal(send(values, torch.device("cpu"), 1), values)
    assert events == [
        *[("sent", 0), ("sent", 1)],
        *[("waited for", 0), ("sent", 2), ("waited for", 1), ("sent", 3)],
        *[("waited for", 2), ("sent", 4)],
    ]


def test_the_default_device_of_pytorch_does_not_matter_for_copies():
    values = torch.arange(7.0)
    with torch.device("meta"):
        for piece_bytes in (8, 1 << 20):
            assert torch.equal(fetch(values, piece_bytes), values)
            assert torch.equal(send(values, torch.device("cpu"), piece_bytes), values)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_page_locked_memory_is_copied_directly_and_can_be_released():
    memory = np.zeros(1 << 22, np.uint8)
    array = memory.view(np.float32)
    array[:] = np.arange(len(array))
    undo = bridges.page_lock(memory)
    assert torch.from_numpy(array).is_pinned()
    moved = from_numpy(array, "cuda:0")
    array[:] = 0  # the copy is complete when it returns
    assert moved.cpu().tolist() == list(range(len(array)))
    undo()
    assert not torch.from_numpy(array).is_pinned()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_memory_that_cannot_be_page_locked_leaves_no_error_behind():
    memory = np.zeros(1 << 22, np.uint8)
    undo = bridges.page_lock(memory)
    with pytest.raises(RuntimeError, match="cudaHostRegister"):
        bridges.page_lock(memory)  # it is already
    assert torch.ones(3, device="cuda:0").sum().item() == 3
    undo()
