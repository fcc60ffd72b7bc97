"""The interface of all readers of audio files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from allin1_core.errors import AudioError
from allin1_core.io.decoding.source import Source

Samples = NDArray[np.float32]

#: Number of samples, over all channels, that are decoded at once.
_READ_SAMPLES = 1 << 15

#: Supported sample rates in Hz, from telephones to studios. A header that states another rate is damaged, and would
#: cost unlimited memory and time.
SAMPLE_RATES = range(4_000, 768_001)

#: Maximum number of channels.
MAX_CHANNELS = 64


@dataclass(frozen=True)
class AudioInfo:
    """Properties of an audio file.

    Attributes
    ----------
    path
        The file.
    sample_rate
        Sample rate of the file in Hz; the first one if it changes.
    channels
        Number of channels of the file; the first one if it changes.
    frames
        Samples per channel at the file's own rate; None if the header does not state it exactly. After the file
        has been read, the actual number.
    duration_s
        Length in seconds; None if the header does not state it. Approximate if `frames` is None.
    format, subtype
        Container and sample format or codec.
    decoder
        Library and version that reads it.
    warnings
        Non-fatal problems of the file, one sentence each; complete after it has been read.
    peak
        Largest magnitude of the output samples, where full scale is 1; None before the file has been read.
    """

    path: Path
    sample_rate: int
    channels: int
    frames: int | None
    duration_s: float | None
    format: str
    subtype: str
    decoder: str
    warnings: tuple[str, ...] = ()
    peak: float | None = None


class Block(NamedTuple):
    """Consecutive samples ``[n, channels]``, n > 0, at `rate` Hz."""

    samples: Samples
    rate: int


class DecodingError(Exception):
    """A decoder failed within a file."""


class Reader(Protocol):
    """An open file.

    Attributes
    ----------
    source
        The open file.
    info
        Properties according to the header.
    promised_s
        Length in seconds according to the header, if a shorter file is incomplete; otherwise None.
    guessed_frames
        Frame at which the decoder stops even if the file continues; None if it reads to the end.
    gaps
        Spans in seconds that were replaced by silence so far.
    """

    source: Source
    info: AudioInfo
    promised_s: float | None
    guessed_frames: int | None
    gaps: list[tuple[float, float]]

    def blocks(self) -> Iterator[Block]:
        """Yield the audio from start to end; raises `DecodingError` if it cannot continue."""

    def close(self) -> None:
        """Close the file."""


def check_shape(path: Path, rate: int, channels: int) -> None:
    """Check the sample rate and the number of channels.

    Raises
    ------
    AudioError
        One of them is out of range.
    """
    if rate not in SAMPLE_RATES:
        raise AudioError(
            f"states a sample rate of {rate} Hz; rates from {SAMPLE_RATES[0]} to {SAMPLE_RATES[-1]} Hz"
            " are supported.",
            remedy="Export the audio again from its source.",
            path=path,
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(
            f"states that it has {channels} channels; 1 to {MAX_CHANNELS} are supported.",
            remedy="Export the audio again from its source.",
            path=path,
        )


def frames_at_once(channels: int) -> int:
    """Number of frames that are decoded at once."""
    return max(1, _READ_SAMPLES // channels)


def silence(frames: int, channels: int, rate: int) -> Iterator[Block]:
    """Yield silence, in blocks of limited length."""
    step = frames_at_once(channels)
    for start in range(0, frames, step):
        yield Block(np.zeros((min(step, frames - start), channels), np.float32), rate)
