"""Memory that is used for one array after another, which bridges can move faster if they page-lock it."""

from __future__ import annotations

import ctypes
import logging
import math
import mmap
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allin1_core.contracts.arrays import Array
from allin1_core.contracts.space import Bridge
from allin1_core.errors import PLUGIN_FAILURES
from allin1_core.selection.probing import load_target

log = logging.getLogger(__name__)

#: Bytes from one access to memory to the next, to have the system map all of it: its smallest page.
_PAGE = 4096


class ReusableMemory:
    """Memory for float32 arrays, one at a time.

    It is released when neither this object nor an array in it is needed any more.

    Parameters
    ----------
    memory
        The memory, which it maps completely.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = (ctypes.c_char * len(memory)).from_buffer(memory)
        self._address = ctypes.addressof(self._memory)
        self._locks: set[str] = set()
        # The system maps each page when it is first read: now, instead of in the thread that computes.
        self._bytes()[::_PAGE].max()
        _known[self._address] = self

    def array(self, shape: tuple[int, ...], when_free: Callable[[], object]) -> NDArray[np.float32]:
        """Return the array at the start; `when_free` is called, by any thread, when its values are not needed any more."""
        # The array, and all that share its values, keep this object alive.
        memory = (ctypes.c_char * (4 * math.prod(shape))).from_buffer(self._memory)
        weakref.finalize(memory, when_free).atexit = False
        return array_in(memory, shape)

    def lock(self, target: str) -> None:
        """Page-lock the memory, once, by the function at `target` (:attr:`.Bridge.page_lock`)."""
        if target in self._locks:
            return
        self._locks.add(target)
        try:
            undo = load_target(target)(self._bytes())
        except PLUGIN_FAILURES:
            log.debug("memory could not be page-locked by %s", target, exc_info=True)
            return
        weakref.finalize(self._memory, undo).atexit = False

    def _bytes(self) -> NDArray[np.uint8]:
        memory: Any = self._memory  # NumPy's types do not include it
        return np.frombuffer(memory, np.uint8)


#: By address.
_known: weakref.WeakValueDictionary[int, ReusableMemory] = weakref.WeakValueDictionary()


def array_in(memory: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The float32 array of this shape at the start of memory."""
    return np.frombuffer(memory, np.float32, math.prod(shape)).reshape(shape)


def lock_memory_of(array: Array, bridge: Bridge) -> None:
    """Page-lock the memory of an array that `bridge` is going to move, if it supports that and the memory is reusable."""
    if bridge.page_lock is None or not isinstance(array, np.ndarray):
        return
    memory = _known.get(array.__array_interface__["data"][0])
    if memory is not None:
        memory.lock(bridge.page_lock)
