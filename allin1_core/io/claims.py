"""Claims on files that are being computed, so that no two processes compute the same one.

A claim is an empty file next to the target, with the name of a temporary file (:mod:`allin1_core.io.leftovers`), and a
lock on it, which the system releases when the process ends: the claim of a killed process has no effect, and is removed
by the next process that checks. On a network file system, claims work across machines if its locks do. Without locks,
every claim succeeds.
"""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from allin1_core.io.atomic import make_folders, remove_empty

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

msvcrt: Any = None
with suppress(ImportError):  # not on Windows
    import msvcrt

#: Number of attempts, as a file may be removed while it is being locked.
_TRIES = 100

#: Claims of this process. Its threads do not exclude each other, as a thread could wait for itself.
_own: set[Path] = set()
_one_at_a_time = threading.Lock()


class Claim:
    """The exclusive right to compute a file, until it is released."""

    def __init__(
        self,
        path: Path | None = None,
        descriptor: int | None = None,
        made: list[Path] | None = None,
    ) -> None:
        self._path = path
        self._descriptor = descriptor
        self._made = made or []

    def release(self) -> None:
        """Release the claim. Never raises an OSError."""
        path, self._path = self._path, None
        if path is None or self._descriptor is None:
            return
        with _one_at_a_time:
            _own.discard(path)
            if fcntl is not None:
                with suppress(OSError):
                    path.unlink()  # while locked, so that no other process has claimed it
            with suppress(OSError):
                # Closing is not enough if a forked process has it open.
                _unlock(self._descriptor)
            with suppress(OSError):
                os.close(self._descriptor)
            if fcntl is None:
                with suppress(OSError):
                    path.unlink()  # fails on Windows if another process has opened it
        remove_empty(self._made)


def try_claim(target: Path) -> Claim | None:
    """Claim `target`; returns None if another process has claimed it.

    Parameters
    ----------
    target
        The file. Its folder is created, and removed with the claim if it is still empty.
    """
    if fcntl is None and msvcrt is None:
        return Claim()
    path = claim_path(target)
    made: list[Path] = []
    with _one_at_a_time:
        if path in _own:
            return Claim()
        for _ in range(_TRIES):
            try:
                make_folders(path.parent, made)
                descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
            except FileNotFoundError:
                continue  # the folder was removed
            except OSError:
                return Claim()
            state = _lock(path, descriptor)
            if state == "ours":
                _own.add(path)
                return Claim(path, descriptor, made)
            os.close(descriptor)
            if state == "theirs":
                return None
            if state == "never":
                with suppress(OSError):
                    path.unlink()
                return Claim()
    return Claim()


def claim_path(target: Path) -> Path:
    """Return the file that represents a claim of `target`, always the same one."""
    digest = hashlib.blake2b(os.fsencode(target.name), digest_size=6).hexdigest()
    folder = Path(os.path.realpath(target.parent))
    return folder / f".{target.name[:30]}-{digest}.part"


def _lock(path: Path, descriptor: int) -> str:
    """Try to lock an open file, and return whose it is; ``gone`` if it was removed meanwhile."""
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        is_theirs = isinstance(error, BlockingIOError if fcntl is not None else PermissionError)
        return "theirs" if is_theirs else "never"
    try:
        found, ours = path.stat(), os.fstat(descriptor)
    except OSError:
        return "gone"
    is_same = (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)
    return "ours" if is_same else "gone"


def _unlock(descriptor: int) -> None:
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    else:
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
