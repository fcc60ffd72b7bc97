"""What workers are told: the songs, and what is to be made of them. Everything here can be pickled."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from allin1_core.runtime.settings import config_path
from allin1_core.runtime.track import Track
from allin1_core.runtime.worker_process import SessionRecipe


@dataclass(frozen=True)
class Song:
    """A song of a batch.

    Attributes
    ----------
    track
        The track; of a song in a store, `source` is set once it is fetched.
    url
        Where it lies, if that is no path.
    """

    track: Track
    url: str | None = None

    @property
    def address(self) -> str:
        """Its path or URL, without what lets others in."""
        return os.fspath(self.track.path)


@dataclass(frozen=True)
class Work:
    """What is made of each song.

    Attributes
    ----------
    recipe
        How a worker makes its session.
    out
        Folder or URL of the results; None writes none.
    options
        The other options of :func:`~allin1_core.runtime.batch.run_batch`.
    storage
        Options of the stores, for fsspec.
    config
        Content of the user's configuration file, which other machines do not have.
    """

    recipe: SessionRecipe
    out: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    storage: Mapping[str, Any] = field(default_factory=dict)
    config: str = ""


def config_text() -> str:
    """What stands in the user's configuration file; empty where there is none."""
    path = config_path()
    return "" if path is None else path.read_text(encoding="utf-8")


def settings_environment() -> dict[str, str]:
    """Variables that say how songs are analysed; folders of weights and of the cache have the same path everywhere."""
    names = (
        *("ALLIN1_BACKEND", "ALLIN1_BLOCK", "ALLIN1_STRICT", "ALLIN1_DISABLE_AUTOLOAD"),
        *("ALLIN1_OFFLINE", "ALLIN1_CACHE_LIMIT", "ALLIN1_WEIGHTS_DIR", "ALLIN1_CACHE_DIR"),
    )
    return {name: os.environ[name] for name in names if name in os.environ}
