"""The stage ``spectrogram`` for models that take the mix: mid, side, percussive and harmonic part.

Within 1e-6 of the core's reference. Every frame is computed by itself, the running median being exact, so that neither
threads nor blocks of a song change a bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from allin1_backend_cython._spectrogram import Transform
from allin1_backend_cython.running import instruction_set, thread_count
from allin1_backend_cython.spectrogram import FRAMES_PER_PART, PARTS_PER_REPORT
from allin1_backend_cython.spectrogram_tables import tables
from allin1_core.contracts.audio import Mix
from allin1_core.contracts.spectrogram import BANDS, VIEWS, LogSpectrogram, frame_count
from allin1_core.contracts.stages import Setup, Task


def create(setup: Setup) -> MixSpectrogram:
    """Return the transform for `setup`; the factory that the backend's record names."""
    return MixSpectrogram(setup.threads)


class MixSpectrogram:
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

    def __call__(self, mix: Mix, task: Task, /) -> LogSpectrogram:
        """Transform `mix`."""
        samples = np.asarray(mix.samples, np.float32)
        if samples.strides[-1] != samples.itemsize:
            samples = np.ascontiguousarray(samples)
        total = frame_count(samples.shape[-1])
        frames = np.empty((len(VIEWS), total, BANDS), np.float32)
        mid, side, percussive, harmonic = frames
        parts = [
            slice(first, first + FRAMES_PER_PART) for first in range(0, total, FRAMES_PER_PART)
        ]

        def transform(part: slice) -> None:
            self._transform.magnitudes(samples, part.start, mid[part], False)
            self._transform.magnitudes(samples, part.start, side[part], True)
            self._transform.logarithms(side[part])

        def separate(part: slice) -> None:
            self._transform.separate(mid, part.start, percussive[part], harmonic[part])

        def finish(part: slice) -> None:
            self._transform.logarithms(mid[part])

        for done in range(0, len(parts), PARTS_PER_REPORT):
            task.progress(done / len(parts))
            self._each(transform, parts[done : done + PARTS_PER_REPORT])
        # The medians need the magnitudes of mid as they are, of neighbouring parts too.
        self._each(separate, parts)
        self._each(finish, parts)
        task.progress(1.0)
        return LogSpectrogram(frames)

    def _each(self, function: Callable[[slice], None], parts: Sequence[slice]) -> None:
        for _ in self._pool.map(function, parts) if self._pool else map(function, parts):
            pass

    def close(self) -> None:
        """Give the threads back."""
        if self._pool is not None:
            self._pool.shutdown()
