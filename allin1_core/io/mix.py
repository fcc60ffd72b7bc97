"""A song in a file that is not read yet: short songs are read whole, long ones block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from allin1_core.contracts.audio import SAMPLE_RATE, Mix
from allin1_core.errors import AudioError
from allin1_core.io.audio import AudioInfo, open_audio, probe_audio, read_audio


@dataclass(frozen=True)
class MixFile:
    """The file of one song."""

    path: Path

    @cached_property
    def duration_s(self) -> float | None:
        """Length in seconds according to the header, which is read once; None if it does not state it."""
        return probe_audio(self.path).duration_s

    def read(self) -> tuple[Mix, AudioInfo]:
        """Read the whole file.

        Raises
        ------
        AudioError
            The file cannot be read.
        """
        samples, info = read_audio(self.path)
        return Mix(samples), info


class MixReader:
    """Reads a song block by block, any number of times.

    Attributes
    ----------
    samples
        Length of the song, once it has been read to its end.
    info
        Properties of the file, with warnings; None before the end has been reached.
    """

    def __init__(self, file: MixFile, block_s: float) -> None:
        self._file = file
        self._block_s = block_s
        self.samples: int | None = None
        self.info: AudioInfo | None = None

    def blocks(self) -> Iterator[Mix]:
        """Yield consecutive blocks, from the start.

        Raises
        ------
        AudioError
            The file cannot be read, or its length has changed since it was last read.
        """
        count = 0
        with open_audio(self._file.path) as stream:
            for samples in stream.blocks(self._block_s):
                count += samples.shape[-1]
                yield Mix(samples)
        if self.samples not in (None, count):
            raise AudioError(
                f"changed while it was read: it had {(self.samples or 0) / SAMPLE_RATE:.2f} s,"
                f" then {count / SAMPLE_RATE:.2f} s.",
                remedy="Try again when it is complete.",
                path=self._file.path,
            )
        self.samples, self.info = count, stream.info
