"""Memory that is used again: freed and page-locked at the right times."""

from __future__ import annotations

import dataclasses
import gc
import logging
import mmap
import sys
from types import ModuleType

import numpy as np
import pytest

from allin1_core.contracts.audio import Mix
from allin1_core.contracts.space import HOST
from allin1_core.runtime.moving import cross
from allin1_core.runtime.reusable_memory import ReusableMemory
from allin1_core.testing.foreign import BRIDGES


@pytest.fixture
def freed():
    return []


@pytest.fixture
def memory():
    return ReusableMemory(mmap.mmap(-1, 1 << 20))


class Locks:
    """A bridge, and what was page-locked for it."""

    def __init__(self, monkeypatch, error=None):
        self.sizes = []
        self.undone = []
        module = ModuleType("a_page_lock")

        def lock(values):
            self.sizes.append(values.nbytes)
            if error is not None:
                raise error
            address = values.__array_interface__["data"][0]
            return lambda: self.undone.append(address)

        module.lock = lock
        monkeypatch.setitem(sys.modules, module.__name__, module)
        self.bridge = dataclasses.replace(BRIDGES[0], page_lock="a_page_lock:lock")
        assert self.bridge.source == HOST

    def move(self, samples):
        return cross(Mix(samples), [self.bridge], "npu")


def test_an_array_and_its_parts_keep_the_memory_in_use(memory, freed):
    array = memory.array((2, 1000), lambda: freed.append(1))
    array[:] = 1
    part = array.T[10:]
    del array
    gc.collect()
    assert freed == []
    del part
    gc.collect()
    assert freed == [1]
    assert memory.array((3,), lambda: None).tolist() == [1, 1, 1]


def test_memory_is_locked_once_for_all_its_arrays(memory, monkeypatch):
    locks = Locks(monkeypatch)
    for length in (10, 20):
        locks.move(memory.array((2, length), lambda: None))
    assert locks.sizes == [1 << 20]


def test_the_lock_is_undone_when_neither_the_memory_nor_an_array_is_needed(monkeypatch):
    locks = Locks(monkeypatch)
    memory = ReusableMemory(mmap.mmap(-1, 1 << 20))
    array = memory.array((2, 10), lambda: None)
    locks.move(array)
    address = array.__array_interface__["data"][0]

    del memory

    gc.collect()
    assert locks.undone == []
    assert array.sum() == 0
    del array
    gc.collect()
    assert locks.undone == [address]


def test_other_memory_is_not_locked(monkeypatch):
    locks = Locks(monkeypatch)
    locks.move(np.zeros((2, 10), np.float32))
    assert locks.sizes == []


def test_a_bridge_without_it_locks_nothing(memory):
    cross(Mix(memory.array((2, 10), lambda: None)), [BRIDGES[0]], "npu")


def test_arrays_are_moved_if_the_memory_cannot_be_locked(memory, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG, logger="allin1_core.runtime.reusable_memory")
    locks = Locks(monkeypatch, RuntimeError("too much"))
    for _ in range(2):
        moved = locks.move(memory.array((2, 10), lambda: None))
    assert moved.samples.shape == (2, 10)
    assert locks.sizes == [1 << 20]
    assert "too much" in caplog.text
