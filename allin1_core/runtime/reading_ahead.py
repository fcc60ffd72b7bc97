"""How many tracks of a batch are read ahead of the one that is computed, and how much memory they take."""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

#: Tracks that are always read ahead for an accelerator, so that a short track does not wait for a long one.
LEAST_AHEAD = 2

#: Tracks that are read ahead at most; a machine with more cores than that does not need them.
MOST_AHEAD = 32

#: Memory in bytes for audio that waits to be computed: that of 17 songs of three minutes.
MOST_BYTES = 1 << 30

#: Tracks that are read ahead as long as no times are known, while backends are set up: more threads would slow down the
#: imports, since Python runs one of them at a time.
FIRST_AHEAD = 3

#: Factor by which reading should be faster than the computation, because neither takes the same time for every track.
_MARGIN = 1.25

#: Number of recent tracks whose times count.
_RECENT = 8


def usable_cpus() -> int:
    """Number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class ReadingAhead:
    """Decides how many tracks are read ahead for an accelerator, and limits their memory.

    Parameters
    ----------
    threads
        Number of CPU threads that the user allows; None for the number of usable CPUs. One of them is left to the thread
        that drives the accelerator.
    most_bytes
        Memory for tracks that wait to be computed.
    """

    def __init__(self, threads: int | None = None, most_bytes: int = MOST_BYTES) -> None:
        cpus = usable_cpus()
        if threads is not None:
            cpus = min(cpus, threads)
        self.most = min(MOST_AHEAD, max(LEAST_AHEAD, cpus - 1))
        self._most_bytes = most_bytes
        self._reading: deque[float] = deque(maxlen=_RECENT)
        self._computing: deque[float] = deque(maxlen=_RECENT)
        self._has_computed = False
        self._late = 0
        self._held: dict[int, int] = {}
        self._awaited = -1
        self._is_stopped = False
        self._changed = threading.Condition()

    @property
    def count(self) -> int:
        """Number of tracks to read ahead now.

        It follows from how much longer a thread computes to read a track than the track itself is computed, and grows
        by one whenever a track had to be waited for. Time that threads wait does not count by itself: the more of them
        there are, the longer they wait for each other, and the slower is the thread that drives the accelerator.
        """
        reading, computing = [*self._reading], [*self._computing]
        if not reading or not computing:
            return min(self.most, FIRST_AHEAD)
        # Not the shortest: of songs that are separated together, the first takes the time of all.
        ratio = (sum(reading) / len(reading)) / max(sum(computing) / len(computing), 1e-6)
        needed = max(LEAST_AHEAD, math.ceil(_MARGIN * ratio) + 1)
        return min(self.most, needed + self._late)

    def was_read(self, seconds: float) -> None:
        """Note how long a thread computed to read a track."""
        self._reading.append(seconds)

    def was_late(self) -> None:
        """Note that the computation had to wait for a track."""
        if self._computing and self.count < self.most:
            self._late += 1

    def was_computed(self, seconds: float) -> None:
        """Note how long a track kept the thread that computes; not that of the first track, which includes set-ups."""
        if self._has_computed:
            self._computing.append(seconds)
        self._has_computed = True

    def reserve(self, index: int, size: int) -> None:
        """Wait until there is memory for a track of `size` bytes, or the computation waits for this track."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    sum(self._held.values()) + size <= self._most_bytes
                    or index == self._awaited
                    or self._is_stopped
                )
            )
            self._held[index] = size

    def stop(self) -> None:
        """Let no track wait any longer."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    @contextmanager
    def awaiting(self, index: int) -> Iterator[None]:
        """Let a track be read without waiting for memory; afterwards, its memory no longer counts."""
        with self._changed:
            self._awaited = index
            self._changed.notify_all()
        try:
            yield
        finally:
            self.release(index)

    def release(self, index: int) -> None:
        """Count the memory of a track no longer, because it is computed."""
        with self._changed:
            self._held.pop(index, None)
            self._changed.notify_all()
