"""Files that appear only when they are complete."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO


def atomically(write: Callable[[IO[bytes]], object], path: Path) -> None:
    """Let `write` make a hidden file beside `path`, and move it there; if it fails, nothing is left.

    The hidden file does not end as `path` does, since patterns such as ``*.npz`` match hidden files, too.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as f:
            write(f)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
