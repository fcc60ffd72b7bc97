"""The stage ``spectrogram``: stems in, log-filtered magnitudes out.

Within 1e-6 of madmom 0.17.dev0 on any signal, since the transform is in double precision. Every frame is computed by
itself, so that neither threads nor blocks of a song change a bit.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from allin1_backend_cython._spectrogram import Transform
from allin1_backend_cython.running import instruction_set, thread_count
from allin1_backend_cython.spectrogram_tables import tables
from allin1_core.contracts.audio import Stems
from allin1_core.contracts.spectrogram import BANDS, LogSpectrogram, frame_count
from allin1_core.contracts.stages import Setup, Task

#: Frames that a thread takes at a time: half a millisecond, and a whole number of the widest vectors.
FRAMES_PER_PART = 256

#: Parts between two reports of progress, of a twentieth of a second.
PARTS_PER_REPORT = 128


def create(setup: Setup) -> Spectrogram:
    """Return the transform for `setup`; the factory that the backend's record names."""
    return Spectrogram(setup.threads)


class Spectrogram:
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

    def __call__(self, stems: Stems, task: Task, /) -> LogSpectrogram:
        """Transform `stems`."""
        samples = np.asarray(stems.samples, np.float32)
        if samples.strides[-1] != samples.itemsize:
            samples = np.ascontiguousarray(samples)
        total = frame_count(samples.shape[-1])
        frames = np.empty((len(samples), total, BANDS), np.float32)

        def fill(part: tuple[int, int]) -> None:
            stem, first = part
            out = frames[stem, first : first + FRAMES_PER_PART]
            self._transform.frames(samples[stem], first, out)

        parts = [
            (stem, first)
            for stem in range(len(samples))
            for first in range(0, total, FRAMES_PER_PART)
        ]
        for done in range(0, len(parts), PARTS_PER_REPORT):
            task.progress(done / len(parts))
            some = parts[done : done + PARTS_PER_REPORT]
            for _ in self._pool.map(fill, some) if self._pool else map(fill, some):
                pass
        task.progress(1.0)
        return LogSpectrogram(frames)

    def close(self) -> None:
        """Give the threads back."""
        if self._pool is not None:
            self._pool.shutdown()
