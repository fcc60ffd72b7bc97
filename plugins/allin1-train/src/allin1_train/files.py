"""Atomic writes of files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO


def atomically(write: Callable[[IO[bytes]], object], path: Path) -> None:
    """Write to a hidden file next to `path` with `write`, and rename it; it is removed on errors.

    The hidden file has another suffix than `path`, since patterns such as ``*.npz`` also match hidden files.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as f:
            write(f)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
