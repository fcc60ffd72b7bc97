"""What precedes the first kernels, without Triton and without a GPU."""

from __future__ import annotations

import sys
import threading
import time
from types import ModuleType, SimpleNamespace

import pytest
import torch

from allin1_backend_torch import triton_compiling
from allin1_backend_torch.triton_compiling import begin_loading, compile_kernels, load

GPU = torch.device("cuda:0")


class Kernel:
    """Stands in for a kernel: notes when its compilation begins and ends."""

    params = ()

    def __init__(self, name, notes, takes_s=0.0):
        self.name, self.notes, self.takes_s = name, notes, takes_s

    def warmup(self, *arguments, grid, **options):
        self.notes.append(f"{self.name} begins")
        time.sleep(self.takes_s)
        self.notes.append(f"{self.name} ends")


def launch(kernel):
    return triton_compiling.Launch(kernel, (1,), ())


@pytest.fixture
def notes(monkeypatch):
    """Notes of kernels, of which the first is the one that does nothing."""
    made = []
    module = ModuleType("allin1_backend_torch.triton_nothing")
    module.nothing = Kernel("nothing", made, 0.05)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(triton_compiling, "current", lambda device: threading.Lock())
    triton_compiling._load.cache_clear()
    yield made
    triton_compiling._load.cache_clear()


def test_a_kernel_that_does_nothing_is_compiled_once_and_before_all_others(notes):
    for names in ("ab", "cd"):
        compile_kernels([launch(Kernel(name, notes)) for name in names], GPU, "a test")
    assert notes[:2] == ["nothing begins", "nothing ends"]
    assert sorted(notes[2:]) == [f"{name} {what}" for name in "abcd" for what in ("begins", "ends")]


def test_threads_that_want_it_at_once_wait_for_one_of_them(notes):
    threads = [threading.Thread(target=load, args=(GPU,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert notes == ["nothing begins", "nothing ends"]


def test_it_begins_in_a_thread_whose_failures_occur_again_where_kernels_are_compiled(
    notes, monkeypatch
):
    def fail(*arguments, **options):
        raise OSError("no compiler")

    module = sys.modules["allin1_backend_torch.triton_nothing"]
    monkeypatch.setattr(module, "nothing", SimpleNamespace(warmup=fail))
    begin_loading(GPU, "json")
    for thread in threading.enumerate():
        if thread.name == "allin1-triton":
            thread.join()
    with pytest.raises(OSError, match="no compiler"):
        compile_kernels([launch(Kernel("a", notes))], GPU, "a test")


def test_on_a_cpu_nothing_is_loaded(notes):
    begin_loading(torch.device("cpu"), "json")
    assert not [each for each in threading.enumerate() if each.name == "allin1-triton"]
    assert not notes
