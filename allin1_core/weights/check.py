"""Verification of a weights file against its digest in the catalogue."""

from __future__ import annotations

import hashlib

from allin1_core.contracts.model import WeightsFile


def find_damage(file: WeightsFile, content: bytes) -> str | None:
    """How `content` differs from the catalogue, as a sentence; None if it does not.

    A file without a digest is always accepted.
    """
    if not file.sha256:
        return None
    digest = hashlib.sha256(content).hexdigest()
    if digest == file.sha256:
        return None
    short = len(content) < file.size
    what = "Truncated, or another file" if short else "Not the file in the catalogue"
    wanted = f"{file.size} bytes and SHA-256" if file.size else "SHA-256"
    return (
        f"{what}: it has {len(content)} bytes and SHA-256 {digest};"
        f" {wanted} {file.sha256} were expected."
    )
