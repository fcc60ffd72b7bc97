"""Whether the bytes of a file of weights are those that the catalogue names."""

from __future__ import annotations

import hashlib

from allin1_core.contracts.model import WeightsFile


def find_damage(file: WeightsFile, content: bytes) -> str | None:
    """How `content` differs from what it should be, as a sentence; None if it does not.

    A file without a digest can be anything.
    """
    if not file.sha256:
        return None
    digest = hashlib.sha256(content).hexdigest()
    if digest == file.sha256:
        return None
    short = len(content) < file.size
    what = "Truncated, or another file" if short else "Not the file that the catalogue names"
    wanted = f"{file.size} bytes and SHA-256" if file.size else "SHA-256"
    return (
        f"{what}: it has {len(content)} bytes and SHA-256 {digest};"
        f" {wanted} {file.sha256} were expected."
    )
