"""What a file holds, as a short text, and whether it still does."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from allin1_core.errors import AudioError
from allin1_core.io.known_digests import KnownDigests

#: Seconds within which a file system may give two changes the same time.
_COARSE_S = 2.0

#: The file may be being written: so often it is read again.
_TRIES = 3

_BLOCK = 1 << 20

#: Whether every change of a file shows in its times. Windows gives the time of creation for that of the last change of
#: status, so that a change is invisible where the time of modification was set back.
_SHOWS_CHANGES = os.name != "nt"


@dataclass(frozen=True)
class Fingerprint:
    """A file's content at one moment.

    Attributes
    ----------
    path
        The file.
    content
        Digest of all its bytes, with the name of the algorithm: ``blake2b:…``. The same bytes have the same one
        wherever they lie.
    size
        Bytes.
    """

    path: Path
    content: str
    size: int
    _state: tuple[int, ...]
    _taken_ns: int

    def still_holds(self) -> bool:
        """Whether the file has the same content now. It is read again only where it was touched."""
        try:
            now = _state(self.path.stat())
            if now == self._state and _is_settled(now, self._taken_ns):
                return True
            return fingerprint(self.path).content == self.content
        except (OSError, AudioError):
            return False


def fingerprint(path: str | os.PathLike[str], known: KnownDigests | None = None) -> Fingerprint:
    """Take the fingerprint of a file, at about a gigabyte a second.

    Parameters
    ----------
    path
        The file.
    known
        Digests of files that were read before: one that has not changed since is not read again. This one is added,
        unless the file was changed so recently that another change might have the same time.

    Raises
    ------
    AudioError
        It cannot be read, or something writes to it all the time.
    """
    path = Path(path)
    for _ in range(_TRIES):
        taken_ns = time.time_ns()
        digest = hashlib.blake2b(digest_size=16)
        size = 0
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise AudioError("is no file.", path=path)
            with path.open("rb", buffering=0) as file:
                # Of the open file: network file systems may know an older state of a path.
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
    raise AudioError(
        "is being written to.", remedy="Analyse it when nothing writes to it.", path=path
    )


def _is_settled(state: tuple[int, ...], taken_ns: int) -> bool:
    """Whether a file was last changed so long before that a later change has another time."""
    return max(state[-2:]) < taken_ns - _COARSE_S * 1e9


def _state(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
