"""The log-filterbank spectrogram that the network reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from allin1_core.contracts.arrays import Array, check_array, length_of
from allin1_core.contracts.audio import SAMPLE_RATE, STEMS

#: Samples between two frames.
HOP_SAMPLES = 441

#: Samples in an analysis window, centred on its frame.
WINDOW_SAMPLES = 2048

#: Frames per second of every stage from the spectrogram on.
FRAMES_PER_SECOND = SAMPLE_RATE // HOP_SAMPLES

#: Triangular filters, 12 to the octave, from 30 Hz to 17 kHz.
BANDS = 81

#: Rows of the spectrogram of a mix, instead of the stems, in the order of the first axis.
VIEWS = ("mid", "side", "percussive", "harmonic")

#: Number of frames before and after a frame over which its harmonic part is the median.
MEDIAN_REACH = 15


def frame_count(samples: int) -> int:
    """Number of frames of a signal: ``ceil(samples / 441)``."""
    return -(-samples // HOP_SAMPLES)


@dataclass(frozen=True, eq=False)
class LogSpectrogram:
    """``log10(1 + filtered magnitude)`` of the four stems, each mixed to mono, or of the four views of a mix.

    The views are computed from the filtered magnitudes of ``(left + right) / 2`` (mid) and ``(left - right) / 2``
    (side). The harmonic part of a band is its median over :data:`MEDIAN_REACH` frames on either side, where the signal
    is mirrored at its ends, including the last frame; the percussive part is the amount by which mid exceeds it.

    Attributes
    ----------
    frames
        float32 ``[4, T, 81]``, 100 frames per second; frame t is centred on sample 441·t.
    """

    ARRAYS: ClassVar[tuple[str, ...]] = ("frames",)
    TIME_AXES: ClassVar[Mapping[str, int]] = {"frames": 1}

    frames: Array

    @property
    def duration_s(self) -> float:
        """Length in seconds, in whole frames."""
        return length_of(self) / FRAMES_PER_SECOND

    def validate(self) -> LogSpectrogram:
        """Return self, or raise :class:`~allin1_core.errors.ContractError`."""
        check_array("spectrogram.frames", self.frames, (len(STEMS), None, BANDS), finite=True)
        return self
