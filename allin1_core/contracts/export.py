"""Exporters: writers of results in the formats of other programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from allin1_core.contracts.backend import Needs
from allin1_core.contracts.result import AnalysisResult
from allin1_core.contracts.rules import ExportSuffix, Line, Name, Target


@dataclass(frozen=True)
class Exporter:
    """One format that results can be written in.

    Attributes
    ----------
    name
        What users name it by, such as ``jams``; letters, digits, ``-``.
    suffix
        Suffix of the files, such as ``.jams``. It may have several parts: ``.beats.csv``, and is not
        one of a result's own files: ``.json``, ``.activ.npz``, ``.embed.npy``.
    summary
        One line for a table.
    target
        ``"package.module:function"``, an :class:`ExportTarget`. Imported only once chosen.
    needs
        What must be installed.
    collects
        Whether one file holds any number of songs. Otherwise the target is called once a song.
    """

    name: Name
    suffix: ExportSuffix
    summary: Line
    target: Target
    needs: Needs = field(default_factory=Needs)
    collects: bool = False


@dataclass(frozen=True, eq=False)
class Song:
    """A result, and what an exporter needs to know of its audio.

    Attributes
    ----------
    result
        The result. Its times already include the offset that the user asked for.
    name
        Name of the song, for titles.
    source
        The audio file as an absolute path. It may be missing on this machine.
    duration_s
        Length in seconds: that of the audio where it can be read, else the last event of the result.
    sample_rate
        Rate of the audio file in hertz, or 44100 where it cannot be read.
    """

    result: AnalysisResult
    name: str
    source: Path
    duration_s: float
    sample_rate: int = 44_100


class ExportTarget(Protocol):
    """Writes songs in one format."""

    def __call__(self, songs: Sequence[Song], file: BinaryIO, /) -> None:
        """Write `songs` to the open `file`: exactly one, unless the exporter collects.

        Raise :class:`~allin1_core.errors.OutputError` where a result cannot be expressed in the format.
        """
        ...
