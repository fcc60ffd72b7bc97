"""The stage ``spectrogram`` for models that take the mix: mid, side, percussive and harmonic part.

Within 1e-6 of the reference. Every frame is computed independently, and the running median is exact, so the result does not
depend on the number of threads or on the blocks of a song.
"""

from __future__ import annotations

import numpy as np

from allin1_backend_cython.frame_transform import (
    FRAMES_PER_PART,
    PARTS_PER_REPORT,
    FrameTransform,
    in_rows,
)
from allin1_core.contracts.audio import Mix
from allin1_core.contracts.spectrogram import BANDS, VIEWS, LogSpectrogram, frame_count
from allin1_core.contracts.stages import Setup, Task


def create(setup: Setup) -> MixSpectrogram:
    """Return the transform for `setup`."""
    return MixSpectrogram(setup.threads)


class MixSpectrogram(FrameTransform):
    """The spectrogram of a mix; parameters and errors are those of :class:`FrameTransform`."""

    def __call__(self, mix: Mix, task: Task, /) -> LogSpectrogram:
        """Transform `mix`."""
        samples = in_rows(mix.samples)
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
        # The medians need the unmodified magnitudes of mid, also those of neighbouring parts.
        self._each(separate, parts)
        self._each(finish, parts)
        task.progress(1.0)
        return LogSpectrogram(frames)
