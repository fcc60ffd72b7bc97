"""Paths as people write them."""

from __future__ import annotations

import os
from pathlib import Path


def expanded(path: str | os.PathLike[str]) -> Path:
    """Put the home folder in the place of a leading ``~``; ``~song.wav`` names no user's home, and stays."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
