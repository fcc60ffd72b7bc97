"""The hooks of this plugin. Imported by every command, so it imports nothing heavy.

Unknown hooks are ignored, so the plugin also works with older versions of the core.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from allin1_core.markers import hookimpl

if TYPE_CHECKING:
    from allin1_core.contracts.audio_loader import AudioLoader
    from allin1_core.contracts.command import Command
    from allin1_core.contracts.found_stems import FoundStems
    from allin1_core.contracts.result import AnalysisResult


@hookimpl(optionalhook=True)
def allin1_commands() -> Iterable[Command]:
    """Add the command ``allin1 setlist``."""
    from allin1_core.contracts.command import Command

    yield Command("setlist", "allin1_library.setlist:setlist", "Print songs in the order of tempo.")


@hookimpl(optionalhook=True)
def allin1_audio_loaders() -> Iterable[AudioLoader]:
    """Read samples in NumPy archives."""
    from allin1_core.contracts.audio_loader import AudioLoader

    yield AudioLoader("npz", "allin1_library.npz_audio:load", suffixes=(".npz",))


@hookimpl(optionalhook=True)
def allin1_find_stems(song: Path) -> FoundStems | None:
    """Find stems in a folder next to the song."""
    from allin1_core.contracts.audio import STEMS
    from allin1_core.contracts.found_stems import FoundStems

    folder = song.with_name(f"{song.stem} (stems)")
    files = {name: folder / f"{name}{song.suffix}" for name in STEMS}
    return FoundStems(files) if all(file.is_file() for file in files.values()) else None


@hookimpl(optionalhook=True)
def allin1_result_written(track: str, result: AnalysisResult, folder: Path) -> None:
    """Add the result to an index."""
    with (folder / "index.csv").open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow([track, result.bpm, len(result.segments)])
