"""Files in which measurements are kept: JSON under a schema, written whole or not at all."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from allin1_core.io.atomic import atomic_path
from allin1_core.io.documents import DocumentError, member, read_json

log = logging.getLogger(__name__)

T = TypeVar("T")

_SCHEMA = 1


def read_kept(path: Path, understand: Callable[[Any], T], *, what: str, remedy: str) -> T | None:
    """Read what was kept; None where there is nothing, or what cannot be understood, which the log says.

    Parameters
    ----------
    path
        The file.
    understand
        Makes records of its content; raises :class:`~allin1_core.io.documents.DocumentError` where that cannot be.
    what, remedy
        For the log: what the file holds, and what to do.
    """
    try:
        content = read_json(path)
        if member(content, "schema") != _SCHEMA:
            raise DocumentError("it was written by another version")
        return understand(content)
    except FileNotFoundError:
        return None
    except (OSError, DocumentError) as error:
        log.warning("%s in %s cannot be used (%s); %s", what, path, error, remedy)
        return None


def write_kept(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` in place of what was kept.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    text = json.dumps({"schema": _SCHEMA, **content}, indent=1) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
