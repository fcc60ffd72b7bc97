"""Fingerprints of files, and whether a file still has the same content."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from allin1_core.errors import AudioError
from allin1_core.io.known_digests import KnownDigests

#: Resolution of time stamps in seconds, in the worst case.
_COARSE_S = 2.0

#: Number of attempts, as the file may be written to meanwhile.
_TRIES = 3

_BLOCK = 1 << 20

#: Whether every change of a file is visible in its times. Windows returns the time of creation as ctime, so a change is
#: invisible if the mtime is restored.
_SHOWS_CHANGES = os.name != "nt"


@dataclass(frozen=True)
class Fingerprint:
    """A file's content at one moment.

    Attributes
    ----------
    path
        The file.
    content
        Digest of all its bytes, with the name of the algorithm: ``blake2b:…``. It does not depend on the path.
    size
        Size in bytes.
    """

    path: Path
    content: str
    size: int
    _state: tuple[int, ...]
    _taken_ns: int

    def still_holds(self) -> bool:
        """Whether the file still has the same content. It is read again only if its time stamps changed."""
        try:
            now = _state(self.path.stat())
            if now == self._state and _is_settled(now, self._taken_ns):
                return True
            return fingerprint(self.path).content == self.content
        except (OSError, AudioError):
            return False


def fingerprint(path: str | os.PathLike[str], known: KnownDigests | None = None) -> Fingerprint:
    """Compute the fingerprint of a file, at about a gigabyte per second.

    Parameters
    ----------
    path
        The file.
    known
        Digests from earlier runs: a file that has not changed since is not read again. The new digest is added, unless
        the file changed so recently that another change could have the same time.

    Raises
    ------
    AudioError
        The file cannot be read, or is constantly being written to.
    """
    path = Path(path)
    for _ in range(_TRIES):
        taken_ns = time.time_ns()
        digest = hashlib.blake2b(digest_size=16)
        size = 0
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise AudioError("is not a regular file.", path=path)
            with path.open("rb", buffering=0) as file:
                # Taken from the open file, as network file systems may cache the state of a path.
                before = os.fstat(file.fileno())
                is_settled = _SHOWS_CHANGES and _is_settled(_state(before), taken_ns)
                if known is not None and is_settled:
                    content = known.get(path, _state(before))
                    if content is not None:
                        return Fingerprint(path, content, before.st_size, _state(before), taken_ns)
                while block := file.read(_BLOCK):
                    digest.update(block)
                    size += len(block)
                after = os.fstat(file.fileno())
        except (OSError, ValueError) as error:  # ValueError: a NUL in its name
            raise AudioError(
                f"cannot be read: {getattr(error, 'strerror', None) or error}.", path=path
            ) from error
        if _state(before) == _state(after) and size == after.st_size:
            content = f"blake2b:{digest.hexdigest()}"
            if known is not None and is_settled:
                known.put(path, _state(after), content)
            return Fingerprint(path, content, size, _state(after), taken_ns)
    raise AudioError("is being written to.", remedy="Try again when it is complete.", path=path)


def _is_settled(state: tuple[int, ...], taken_ns: int) -> bool:
    """Whether the last change of a file was so long ago that any later change has a different time."""
    return max(state[-2:]) < taken_ns - _COARSE_S * 1e9


def _state(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
