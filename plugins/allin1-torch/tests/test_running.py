from __future__ import annotations

import threading

import pytest
import torch
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.contracts.stages import Setup, Task
from allin1_core.testing.weights import random_model
from hypothesis import given
from hypothesis import strategies as st

from allin1_backend_torch.network import create
from allin1_backend_torch.running import (
    AbandonedError,
    go_on,
    running,
    side_by_side,
    spans,
    thread_count,
)


@pytest.fixture
def six_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(6)
    yield
    torch.set_num_threads(before)


@given(st.integers(1, 5000), st.integers(1, 700), st.integers(1, 8))
def test_spans_cover_the_song_in_order_and_are_short_enough(frames, most, threads):
    parts = spans(frames, most, threads)
    assert [f for first, end in parts for f in range(first, end)] == list(range(frames))
    assert max(end - first for first, end in parts) <= most


def test_spans_give_each_thread_as_many():
    assert len(spans(9000, 1024, 2)) % 2 == 0
    assert len(spans(9000, 1024, 3)) % 3 == 0


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_item_is_processed_once_without_gradients(threads):
    seen, lock = [], threading.Lock()

    def work(item):
        with lock:
            seen.append((item, torch.is_inference_mode_enabled(), torch.get_num_threads()))

    with running(threads) as each:
        each(work, range(20))
        assert sorted(seen) == [(i, True, 1) for i in range(20)]
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_of_pytorch_is_restored(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with running(threads) as each:
            each(lambda item: None, range(4))
        with pytest.raises(KeyError), running(threads) as each:
            each({}.__getitem__, ["missing"])
        assert torch.get_num_threads() == 2
        elsewhere = []
        thread = threading.Thread(target=lambda: elsewhere.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert elsewhere == [2]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("count", "threads_each"), [(0, 6), (1, 6), (2, 3), (3, 2), (4, 1), (6, 1), (20, 1)]
)
def test_items_side_by_side_share_the_threads(six_threads, count, threads_each):
    seen, at_once, lock = [], [0], threading.Lock()

    def work(item):
        with lock:
            at_once.append(at_once[-1] + 1)
        torch.zeros(()).add_(1)
        with lock:
            at_once.append(at_once[-1] - 1)
            seen.append((item, torch.get_num_threads()))

    with side_by_side(count) as each:
        each(work, range(count))
    assert sorted(seen) == [(item, threads_each) for item in range(count)]
    assert max(at_once) <= min(count, 6)
    assert torch.get_num_threads() == 6


def test_items_side_by_side_run_at_the_same_time(six_threads):
    everyone = threading.Barrier(6, timeout=10)
    with side_by_side(6) as each:
        each(lambda item: everyone.wait(), range(6))


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_the_others_stop_when_one_fails(six_threads, error):
    before, stopped, both = threading.active_count(), [], threading.Barrier(2, timeout=10)

    def work(item):
        both.wait()
        if item == 0:
            raise error
        try:
            for _ in range(10_000):
                go_on()
                threading.Event().wait(0.001)
        except AbandonedError:
            stopped.append(item)
            raise

    with pytest.raises(error), side_by_side(2) as each:
        each(work, range(2))
    assert stopped == [1]
    assert threading.active_count() == before
    assert torch.get_num_threads() == 6
    go_on()  # does nothing outside of parallel work


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_products_are_in_true_float32_whatever_is_allowed(device, precision):
    rng = torch.Generator().manual_seed(1)
    a = torch.randn(256, 256, generator=rng, dtype=torch.float32)
    exact = (a.double() @ a.double()).float()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        with running(1):
            product = (a.to(device) @ a.to(device)).cpu()
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)
    assert (product - exact).abs().max() < 1e-4  # the error of TensorFloat-32 is about 1e-2


def test_older_versions_of_pytorch_are_set_to_true_float32_too(monkeypatch):
    # Before 2.9 there was one setting for all, and none in torch.backends.mkldnn.
    monkeypatch.setattr(torch.backends, "mkldnn", object())
    torch.set_float32_matmul_precision("medium")
    try:
        with running(1):
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_a_gpu_is_not_divided_among_threads():
    assert thread_count(torch.device("cuda:0"), 4) == 1
    assert thread_count(torch.device("cpu"), 4) == 4
    assert thread_count(torch.device("cpu"), None) == torch.get_num_threads()


def test_cancelling_leaves_nothing_behind(device, put):
    class CancelledError(Exception):
        pass

    def cancel(fraction):
        raise CancelledError

    threads = threading.active_count()
    call = create(Setup(device, random_model(1), threads=2))
    spectrogram = LogSpectrogram(put(torch.rand(4, 50, 81).numpy()))
    with pytest.raises(CancelledError):
        call(spectrogram, Task(progress=cancel))
    assert threading.active_count() == threads
    assert not torch.is_inference_mode_enabled()
