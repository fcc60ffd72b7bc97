"""Files of measurements: JSON with a schema, written completely or not at all."""

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
    """Read measurements; None if there are none, or if they are invalid, which is logged.

    Parameters
    ----------
    path
        The file.
    understand
        Converts the content to records; raises :class:`~allin1_core.io.documents.DocumentError` if it is invalid.
    what, remedy
        For the log: what the file contains, and what to do.
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
    """Replace the content of the file.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    text = json.dumps({"schema": _SCHEMA, **content}, indent=1, allow_nan=False) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
