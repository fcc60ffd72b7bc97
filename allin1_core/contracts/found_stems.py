"""Stems of a song that a plugin provides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from allin1_core.contracts.audio import STEMS, Stems
from allin1_core.errors import ContractError


@dataclass(frozen=True, eq=False)
class FoundStems:
    """The stems of a song, as files or as a function that loads them. Exactly one of the two must be given.

    Attributes
    ----------
    files
        Path of an audio file for each of :data:`~allin1_core.contracts.audio.STEMS`.
    read
        Called without arguments when the stems are needed; returns them in NumPy arrays at 44,100 Hz, with the length
        of the song. It is not called if the result of an earlier run is up to date.
    version
        For `read`: a text that changes whenever the stems do. Results depend on it and on the content of the song.
    """

    files: Mapping[str, Path] = field(default_factory=dict)
    read: Callable[[], Stems] | None = None
    version: str = ""

    def validate(self) -> FoundStems:
        """Return self, or raise :class:`~allin1_core.errors.ContractError`."""
        if self.read is not None:
            if self.files or not callable(self.read):
                raise ContractError("FoundStems: wanted either files or a function read.")
        elif not isinstance(self.files, Mapping) or set(self.files) != set(STEMS):
            raise ContractError(f"FoundStems.files: wanted a path for each of {', '.join(STEMS)}.")
        if not all(isinstance(path, Path) for path in self.files.values()):
            raise ContractError("FoundStems.files: wanted paths of the type pathlib.Path.")
        if not isinstance(self.version, str):
            raise ContractError("FoundStems.version: wanted a text.")
        return self
