"""Writing of WAV files with 32-bit floats that reports every error.

libsndfile ignores errors when it completes the header on closing a file, and reports a full disk only as a "system
error".
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_FRAME_BYTES = 2 * 4

#: Placeholder in a header for a number that does not fit into 32 bits.
_SEE_DS64 = 2**32 - 1

#: Limit in frames for a plain WAV file, with a margin for the header.
MOST_FRAMES = (2**32 - 2**16) // _FRAME_BYTES


class StereoWriter:
    """Writes stereo samples to a new file, in pieces.

    Parameters
    ----------
    path
        The file.
    sample_rate
        Sample rate in Hz.
    frames
        Number of frames that will be written, if known. If they may exceed the limit of WAV, the file is RF64.

    Raises
    ------
    OSError
        The file cannot be written; the methods raise this, too.
    """

    def __init__(self, path: Path, sample_rate: int, frames: int | None) -> None:
        self._is_rf64 = frames is None or frames > MOST_FRAMES
        self._rate = sample_rate
        self._promised = frames or 0
        self._written = 0
        # Unbuffered, as blocks are large, and so that errors are raised where they occur.
        self._file = path.open("wb", buffering=0)
        try:
            self._put(self._header(self._promised))
        except BaseException:
            self._file.close()
            raise

    def write(self, samples: NDArray[np.float32]) -> None:
        """Append samples: float32 ``[1 or 2, n]``; one channel is written to both."""
        two = np.broadcast_to(samples, (2, samples.shape[-1]))
        self._put(np.ascontiguousarray(two.T, "<f4").tobytes())
        self._written += samples.shape[-1]

    def close(self) -> None:
        """Complete the header, and close the file."""
        try:
            if self._written != self._promised and not self._file.closed:
                if self._written > MOST_FRAMES and not self._is_rf64:
                    raise OSError("more samples than were announced")
                self._file.seek(0)
                self._put(self._header(self._written))
        finally:
            self._file.close()

    def _put(self, content: bytes) -> None:
        left = memoryview(content)
        while left:
            left = left[self._file.write(left) :]

    def _header(self, frames: int) -> bytes:
        size = frames * _FRAME_BYTES
        form = struct.pack(
            *("<4sIHHIIHH", b"fmt ", 16, 3, 2, self._rate, self._rate * _FRAME_BYTES),
            *(_FRAME_BYTES, 32),
        )
        form += struct.pack("<4sII", b"fact", 4, min(frames, _SEE_DS64))
        if not self._is_rf64:
            head = struct.pack("<4sI4s", b"RIFF", 4 + len(form) + 8 + size, b"WAVE")
            return head + form + struct.pack("<4sI", b"data", size)
        head = struct.pack("<4sI4s", b"RF64", _SEE_DS64, b"WAVE")
        whole = 4 + 36 + len(form) + 8 + size
        head += struct.pack("<4sIQQQI", b"ds64", 28, whole, size, frames, 0)
        return head + form + struct.pack("<4sI", b"data", _SEE_DS64)
