"""Common base of both spectrograms: the compiled transform, and threads for the parts of a song."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from allin1_backend_cython._spectrogram import Transform
from allin1_backend_cython.running import instruction_set, thread_count
from allin1_backend_cython.spectrogram_tables import tables

#: Frames that a thread processes at a time: half a millisecond of work, and a multiple of the widest vectors.
FRAMES_PER_PART = 256

#: Number of parts between two reports of progress, a twentieth of a second of work.
PARTS_PER_REPORT = 128

Part = TypeVar("Part")


class FrameTransform:
    """Transforms songs, one at a time. Safe to call from several threads.

    Parameters
    ----------
    threads
        Number of threads; None for the number of processors.
    instructions
        Name of an instruction set; None for the fastest that the processor supports.

    Raises
    ------
    allin1_core.errors.BackendError
        The processor does not support that instruction set.
    """

    def __init__(self, threads: int | None = None, *, instructions: str | None = None) -> None:
        self._transform = Transform(tables(), instruction_set(instructions))
        threads = thread_count(threads)
        self._pool = ThreadPoolExecutor(threads, "allin1-spectrogram") if threads > 1 else None

    def close(self) -> None:
        """Stop the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def _each(self, function: Callable[[Part], None], parts: Iterable[Part]) -> None:
        for _ in self._pool.map(function, parts) if self._pool else map(function, parts):
            pass


def in_rows(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `samples` as float32 with contiguous rows, copied only if necessary."""
    samples = np.asarray(samples, np.float32)
    return samples if samples.strides[-1] == samples.itemsize else np.ascontiguousarray(samples)
