"""Digests of files without a published digest: that of the first copy is stored, and later copies must match it.

This does not verify the first copy, but detects any later change.
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

#: Name of the file in the folder of weights in the cache.
NAME = "first-seen.json"


def with_digest(file: WeightsFile, folder: Path) -> WeightsFile:
    """Return `file` with the digest stored in `folder`, if none is published.

    Raises
    ------
    WeightsError
        The stored digests cannot be read.
    """
    if file.sha256:
        return file
    return replace(file, sha256=_read(folder / NAME).get(file.name, ""))


def keep_digest(file: WeightsFile, content: bytes, folder: Path) -> None:
    """Store the digest of `content` in `folder`, if none is published or stored, and log this.

    Raises
    ------
    WeightsError
        The digest cannot be written.
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
            f"The digest of {file.name} cannot be stored here: {error.strerror or error}.",
            remedy="Make the folder writable, or set ALLIN1_CACHE_DIR to another folder.",
            path=path,
        ) from error
    _logger.warning(
        "No full digest of %s is published. This first copy has SHA-256 %s, which was stored in %s: from now on,"
        " every copy must match it.",
        file.name,
        digest,
        path,
    )


def _read(path: Path) -> dict[str, str]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(kept, dict) and all(isinstance(digest, str) for digest in kept.values()):
            return kept
        problem = "it does not contain digests by name"
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        problem = str(error)
    # Not ignored: otherwise, damaging this file would allow any weights to be accepted as the first copy.
    raise WeightsError(
        f"The digests of weights stored here cannot be read ({problem}).",
        remedy="Remove the file, and any weights that you do not trust.",
        path=path,
    )
