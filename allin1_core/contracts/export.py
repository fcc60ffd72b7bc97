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
    """Declares a format in which results can be written.

    Attributes
    ----------
    name
        Name for users, such as ``jams``; letters, digits, ``-``.
    suffix
        Suffix of the files, such as ``.jams``. It may have several parts (``.beats.csv``), and must not be one of a
        result's own files: ``.json``, ``.activ.npz``, ``.embed.npy``.
    summary
        One line for a table.
    target
        ``"package.module:function"``, an :class:`ExportTarget`. Only imported once chosen.
    needs
        What must be installed.
    collects
        Whether a single file contains any number of songs. Otherwise the target is called once per song.
    """

    name: Name
    suffix: ExportSuffix
    summary: Line
    target: Target
    needs: Needs = field(default_factory=Needs)
    collects: bool = False


@dataclass(frozen=True, eq=False)
class Song:
    """A result, and what an exporter needs to know about its audio.

    Attributes
    ----------
    result
        The result. Its times already include the offset that the user requested.
    name
        Name of the song, for titles.
    source
        Absolute path of the audio file, which may not exist on this machine.
    duration_s
        Length in seconds: that of the audio if it can be read, otherwise the time of the last event of the result.
    sample_rate
        Sample rate of the audio file in Hz, or 44100 if it cannot be read.
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

        Raise :class:`~allin1_core.errors.OutputError` if the format cannot represent a result.
        """
        ...
