"""The stage ``spectrogram``: stems in, log-filtered magnitudes out.

Within 1e-6 of madmom 0.17.dev0 for any signal, as the transform is in double precision. Every frame is computed
independently, so the result does not depend on the number of threads or on the blocks of a song.
"""

from __future__ import annotations

import numpy as np

from allin1_backend_cython.frame_transform import (
    FRAMES_PER_PART,
    PARTS_PER_REPORT,
    FrameTransform,
    in_rows,
)
from allin1_core.contracts.audio import Stems
from allin1_core.contracts.spectrogram import BANDS, LogSpectrogram, frame_count
from allin1_core.contracts.stages import Setup, Task


def create(setup: Setup) -> Spectrogram:
    """Return the transform for `setup`."""
    return Spectrogram(setup.threads)


class Spectrogram(FrameTransform):
    """The spectrogram of stems; parameters and errors are those of :class:`FrameTransform`."""

    def __call__(self, stems: Stems, task: Task, /) -> LogSpectrogram:
        """Transform `stems`."""
        samples = in_rows(stems.samples)
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
            self._each(fill, parts[done : done + PARTS_PER_REPORT])
        task.progress(1.0)
        return LogSpectrogram(frames)
