"""A song in a file, held unread: read whole where it is short, block by block where it is long."""

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
        """Length in seconds by the header, looked at once; None where it does not say."""
        return probe_audio(self.path).duration_s

    def read(self) -> tuple[Mix, AudioInfo]:
        """Read all of it.

        Raises
        ------
        AudioError
            It cannot be read.
        """
        samples, info = read_audio(self.path)
        return Mix(samples), info


class MixReader:
    """Reads a song block by block, as often as it is asked to.

    Attributes
    ----------
    samples
        Length of the song, once it has been read to its end.
    info
        About the file, with what was noticed while reading it; None before its end was reached.
    """

    def __init__(self, file: MixFile, block_s: float) -> None:
        self._file = file
        self._block_s = block_s
        self.samples: int | None = None
        self.info: AudioInfo | None = None

    def blocks(self) -> Iterator[Mix]:
        """Give consecutive blocks, from the beginning.

        Raises
        ------
        AudioError
            The file cannot be read, or is not what it was the last time.
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
                remedy="Analyse it when nothing writes to it.",
                path=self._file.path,
            )
        self.samples, self.info = count, stream.info
