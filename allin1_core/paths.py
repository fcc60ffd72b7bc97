"""Paths as users write them."""

from __future__ import annotations

import os
from pathlib import Path


def expanded(path: str | os.PathLike[str]) -> Path:
    """Expand a leading ``~`` to the home folder; if there is no such user, as in ``~song.wav``, it is kept."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
