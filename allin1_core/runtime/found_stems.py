"""Stems of songs that plugins have: asked for before a song is separated."""

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
    """Stems that a plugin gives when they are needed."""

    song: MixFile
    give: Callable[[], Any]

    @property
    def duration_s(self) -> float | None:
        """Length of the song in seconds; None where its header does not say it."""
        return self.song.duration_s

    def read(self) -> Stems:
        """Get the stems.

        Raises
        ------
        ContractError
            They are no stems in NumPy arrays, or of another length than the song.
        """
        stems = self.give()
        if not isinstance(stems, Stems):
            raise ContractError(f"It gave {show(stems)}; wanted Stems.")
        if not lies_in(stems.samples, HOST):
            raise ContractError("It gave stems that are no NumPy arrays.")
        stems.validate()
        length = self.song.duration_s
        if length is not None and abs(stems.duration_s - length) > LENGTH_TOLERANCE_S:
            raise ContractError(
                f"It gave stems of {stems.duration_s:.3f} s; the song has {length:.3f} s."
            )
        return stems


@dataclass(frozen=True)
class StemsOfPlugin:
    """What a plugin has found.

    Attributes
    ----------
    start
        What is read.
    plugin
        Name and version of the plugin.
    version
        What the stems depend on besides the song; empty for files, whose content tells.
    """

    start: StemFiles | StemsInPlugin
    plugin: str
    version: str = ""


class StemPlugins:
    """Asks plugins for stems."""

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins

    @property
    def are_there(self) -> bool:
        """Whether there is any to ask."""
        return bool(self._plugins.manager.hook.allin1_find_stems.get_hookimpls())

    def find(self, song: Path, track: str) -> tuple[StemsOfPlugin | None, tuple[str, ...]]:
        """Give the stems of the first plugin that has some, and a warning for each that failed."""
        warnings: list[str] = []
        records = {record.name: record for record in self._plugins.records}
        for implementation in reversed(
            self._plugins.manager.hook.allin1_find_stems.get_hookimpls()
        ):
            name = implementation.plugin_name
            record = records.get(name)
            label = f"{name} {record.version}".strip() if record else name
            try:
                found = self._plugins.hook_of(name, _HOOK)(song=song, track=track)
                if found is not None:
                    return self._usable(found, song, label), tuple(warnings)
            except PLUGIN_FAILURES as error:
                warnings.append(warning_of(name, error))
                log.debug("hook %s of plugin %s failed", _HOOK, name, exc_info=True)
        return None, tuple(warnings)

    def _usable(self, found: object, song: Path, label: str) -> StemsOfPlugin:
        if not isinstance(found, FoundStems):
            raise ContractError(f"It gave {show(found)}; wanted FoundStems or None.")
        found.validate()
        if found.read is not None:
            start = StemsInPlugin(MixFile(song), found.read)
            return StemsOfPlugin(start, label, found.version)
        files = StemFiles(**found.files)
        _ = files.duration_s  # raises where a file is missing, or no audio
        return StemsOfPlugin(files, label)


def warning_of(plugin: str, error: BaseException) -> str:
    """Say that the stems of a plugin are not used."""
    reason = (
        str(error) if isinstance(error, (AudioError, ContractError, StemsError)) else in_full(error)
    )
    return f"Stems of plugin {plugin} are not used: {reason.rstrip('.')}."
