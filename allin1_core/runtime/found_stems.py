"""Stems that plugins provide, which are requested before a song is separated."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allin1_core.contracts.audio import Stems
from allin1_core.contracts.found_stems import FoundStems
from allin1_core.contracts.rules import show
from allin1_core.contracts.space import HOST
from allin1_core.errors import PLUGIN_FAILURES, AudioError, ContractError, StemsError, in_full
from allin1_core.io.mix import MixFile
from allin1_core.io.stems import LENGTH_TOLERANCE_S, StemFiles
from allin1_core.plugins.loading import Plugins
from allin1_core.runtime.moving import lies_in

log = logging.getLogger(__name__)

_HOOK = "allin1_find_stems"


@dataclass(frozen=True)
class StemsInPlugin:
    """Stems of a plugin that are loaded when they are needed."""

    song: MixFile
    give: Callable[[], Any]

    @property
    def duration_s(self) -> float | None:
        """Length of the song in seconds; None if its header does not state it."""
        return self.song.duration_s

    def read(self) -> Stems:
        """Load the stems.

        Raises
        ------
        ContractError
            They are not stems in NumPy arrays, or differ from the song in length.
        """
        stems = self.give()
        if not isinstance(stems, Stems):
            raise ContractError(f"It returned {show(stems)}; wanted Stems.")
        if not lies_in(stems.samples, HOST):
            raise ContractError("It returned stems that are not NumPy arrays.")
        stems.validate()
        length = self.song.duration_s
        if length is not None and abs(stems.duration_s - length) > LENGTH_TOLERANCE_S:
            raise ContractError(
                f"It returned stems of {stems.duration_s:.3f} s; the song has {length:.3f} s."
            )
        return stems


@dataclass(frozen=True)
class StemsOfPlugin:
    """Stems that a plugin has found.

    Attributes
    ----------
    start
        The files, or what loads the stems.
    plugin
        Name and version of the plugin.
    version
        What the stems depend on besides the song; empty for files, which are identified by their content.
    """

    start: StemFiles | StemsInPlugin
    plugin: str
    version: str = ""


class StemPlugins:
    """Requests stems from plugins."""

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins

    @property
    def exist(self) -> bool:
        """Whether any plugin implements the hook."""
        return any(True for _ in self._plugins.implementations(_HOOK))

    def find(self, song: Path, track: str) -> tuple[StemsOfPlugin | None, tuple[str, ...]]:
        """Return the stems of the first plugin that has some, and a warning for each plugin that failed."""
        warnings: list[str] = []
        records = {record.name: record for record in self._plugins.records}
        for name, find in self._plugins.implementations(_HOOK):
            record = records.get(name)
            label = f"{name} {record.version}".strip() if record else name
            try:
                found = find(song=song, track=track)
                if found is not None:
                    return self._usable(found, song, label), tuple(warnings)
            except PLUGIN_FAILURES as error:
                warnings.append(warning_of(name, error))
                log.debug("hook %s of plugin %s failed", _HOOK, name, exc_info=True)
        return None, tuple(warnings)

    def _usable(self, found: object, song: Path, label: str) -> StemsOfPlugin:
        if not isinstance(found, FoundStems):
            raise ContractError(f"It returned {show(found)}; wanted FoundStems or None.")
        found.validate()
        if found.read is not None:
            start = StemsInPlugin(MixFile(song), found.read)
            return StemsOfPlugin(start, label, found.version)
        files = StemFiles(**found.files)
        _ = files.duration_s  # raises an error if a file is missing or is not audio
        return StemsOfPlugin(files, label)


def warning_of(plugin: str, error: BaseException) -> str:
    """The warning that the stems of a plugin are not used."""
    reason = (
        str(error) if isinstance(error, (AudioError, ContractError, StemsError)) else in_full(error)
    )
    return f"Stems of plugin {plugin} are not used: {reason.rstrip('.')}."
