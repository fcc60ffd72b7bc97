"""Digests of files for which none is published: that of the first copy read is kept, and every later one must have it.

It does not tell whether the first copy was the right one, but that nobody has changed it since.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from dataclasses import replace
from pathlib import Path

from allin1_core.contracts.model import WeightsFile
from allin1_core.errors import WeightsError

_logger = logging.getLogger(__name__)

#: File in the cache's folder of weights.
NAME = "first-seen.json"


def with_digest(file: WeightsFile, folder: Path) -> WeightsFile:
    """Return `file` with the digest that was kept in `folder`, where none is published.

    Raises
    ------
    WeightsError
        The digests that were kept cannot be read.
    """
    if file.sha256:
        return file
    return replace(file, sha256=_read(folder / NAME).get(file.name, ""))


def keep_digest(file: WeightsFile, content: bytes, folder: Path) -> None:
    """Keep the digest of `content` in `folder`, where none is published nor kept, and say so.

    Raises
    ------
    WeightsError
        It cannot be written.
    """
    if with_digest(file, folder).sha256:
        return
    digest = hashlib.sha256(content).hexdigest()
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(prefix=f".{NAME}.", dir=folder)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump({**_read(path), file.name: digest}, stream, indent=2, sort_keys=True)
        Path(part).replace(path)
    except OSError as error:
        raise WeightsError(
            f"The digest of {file.name} cannot be kept here: {error.strerror or error}.",
            remedy="Make the folder writable, or name another cache by ALLIN1_CACHE_DIR.",
            path=path,
        ) from error
    _logger.warning(
        "No full digest of %s is published. This first copy has SHA-256 %s, which is kept in %s: from now on"
        " every copy must have it.",
        file.name,
        digest,
        path,
    )


def _read(path: Path) -> dict[str, str]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(kept, dict) and all(isinstance(digest, str) for digest in kept.values()):
            return kept
        problem = "it does not hold digests by name"
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        problem = str(error)
    # Not passed over: whoever spoils it could have any file taken for the first.
    raise WeightsError(
        f"The digests of weights that were kept here cannot be read ({problem}).",
        remedy="Remove the file, and the weights that you are not sure of.",
        path=path,
    )
