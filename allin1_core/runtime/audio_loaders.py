"""Registration of the audio loaders of plugins with everything that reads audio."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from allin1_core.contracts.audio_loader import AudioLoader
from allin1_core.io.decoding.loaders import Loader, use_loaders
from allin1_core.plugins.collecting import Offered
from allin1_core.selection.probing import check_needs, load_target


def use_audio_loaders(loaders: Iterable[Offered[AudioLoader]]) -> None:
    """Register those of `loaders` whose requirements are installed."""
    use_loaders(ready_loader(one) for one in loaders if check_needs(one.item.needs) is None)


def ready_loader(offered: Offered[AudioLoader]) -> Loader:
    """Make a loader that imports its code when it is first called."""
    record, plugin = offered.item, offered.plugin

    def call(target: str) -> Any:
        return lambda *arguments: load_target(target)(*arguments)

    return Loader(
        plugin.name,
        record.name.rpartition("/")[2],
        plugin.version,
        call(record.target),
        record.suffixes,
        None if record.probe is None else call(record.probe),
        record.before_core,
    )
