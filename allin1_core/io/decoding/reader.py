"""What every reader of an audio file has in common."""

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

#: Samples, over all channels, that are decoded at once.
_READ_SAMPLES = 1 << 15

#: Sample rates in Hz that are read: from what telephones had to what studios use. A header that says anything
#: else is damaged, and would take memory and time without bounds.
SAMPLE_RATES = range(4_000, 768_001)

#: More channels than a file can have that is music.
MAX_CHANNELS = 64


@dataclass(frozen=True)
class AudioInfo:
    """What is known of an audio file.

    Attributes
    ----------
    path
        The file.
    sample_rate
        Of the file, in Hz; where it changes on the way, the first.
    channels
        Of the file; where they change on the way, the first.
    frames
        Samples per channel at the file's own rate; None where the header does not say it exactly.
        Once the file has been read, what was there.
    duration_s
        Length in seconds; None where the header does not say it. Without `frames`, approximate.
    format, subtype
        Container and sample format or codec.
    decoder
        Library and version that reads it.
    warnings
        What was wrong with the file but not fatal, one sentence each; complete once it has been read.
    peak
        Largest magnitude of a sample as it was given, full scale being 1; None before the file has been read.
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
    """A decoder gave up in the middle of a file."""


class Reader(Protocol):
    """An open file.

    Attributes
    ----------
    source
        Where it is read from.
    info
        What the header says.
    promised_s
        Length in seconds by the header where a shorter one means that something is missing; None elsewhere.
    guessed_frames
        Where the decoder stops whether or not the file goes on; None where it reads to the end.
    gaps
        Spans in seconds in whose place silence was given, as far as has been read.
    """

    source: Source
    info: AudioInfo
    promised_s: float | None
    guessed_frames: int | None
    gaps: list[tuple[float, float]]

    def blocks(self) -> Iterator[Block]:
        """Give the audio from beginning to end; raises `DecodingError` where it cannot go on."""

    def close(self) -> None:
        """Close the file."""


def check_shape(path: Path, rate: int, channels: int) -> None:
    """Refuse what no music has.

    Raises
    ------
    AudioError
        If rate or number of channels are out of bounds.
    """
    if rate not in SAMPLE_RATES:
        raise AudioError(
            f"says that its sample rate is {rate} Hz;"
            f" rates from {SAMPLE_RATES[0]} to {SAMPLE_RATES[-1]} Hz are read.",
            remedy="Export the audio again from its source.",
            path=path,
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(
            f"says that it has {channels} channels; 1 to {MAX_CHANNELS} are read.",
            remedy="Export the audio again from its source.",
            path=path,
        )


def frames_at_once(channels: int) -> int:
    """Frames that are decoded at once."""
    return max(1, _READ_SAMPLES // channels)


def silence(frames: int, channels: int, rate: int) -> Iterator[Block]:
    """Give silence, in blocks of bounded length."""
    step = frames_at_once(channels)
    for start in range(0, frames, step):
        yield Block(np.zeros((min(step, frames - start), channels), np.float32), rate)
