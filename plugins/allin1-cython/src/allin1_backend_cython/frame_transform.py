"""What both spectrograms share: the compiled transform, and threads for the parts of a song."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from allin1_backend_cython._spectrogram import Transform
from allin1_backend_cython.running import instruction_set, thread_count
from allin1_backend_cython.spectrogram_tables import tables

#: Frames that a thread takes at a time: half a millisecond, and a whole number of the widest vectors.
FRAMES_PER_PART = 256

#: Parts between two reports of progress, of a twentieth of a second.
PARTS_PER_REPORT = 128

Part = TypeVar("Part")


class FrameTransform:
    """Transforms one song after the other. Calls from several threads do not disturb each other.

    Parameters
    ----------
    threads
        Threads to share the frames out to; None for as many as there are processors.
    instructions
        Name of an instruction set; None for the fastest that the processor has.

    Raises
    ------
    allin1_core.errors.BackendError
        The processor does not have that instruction set.
    """

    def __init__(self, threads: int | None = None, *, instructions: str | None = None) -> None:
        self._transform = Transform(tables(), instruction_set(instructions))
        threads = thread_count(threads)
        self._pool = ThreadPoolExecutor(threads, "allin1-spectrogram") if threads > 1 else None

    def close(self) -> None:
        """Give the threads back."""
        if self._pool is not None:
            self._pool.shutdown()

    def _each(self, function: Callable[[Part], None], parts: Iterable[Part]) -> None:
        for _ in self._pool.map(function, parts) if self._pool else map(function, parts):
            pass


def in_rows(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `samples` as float32 whose rows are contiguous, copied only where they are not."""
    samples = np.asarray(samples, np.float32)
    return samples if samples.strides[-1] == samples.itemsize else np.ascontiguousarray(samples)
