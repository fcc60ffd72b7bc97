"""Temporary files next to a destination, and cleanup of those that dead processes left behind.

A file or folder that is being written is called ``.<name>-<12 hex digits>.part``. Its writer holds a lock on it, which
the system releases when the process ends for any reason. While files get their final names, the files that they replace
are kept in a journal, ``.<name>~<16 hex digits>.old``, under a lock on the folder (:mod:`allin1_core.io.replacing`).

So a ``.part`` that can be locked, and a journal that exists while one holds the folder's lock, belong to a dead process.
If the system or the file system does not support locks, their age decides.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

_PART = re.compile(r"\..*-[0-9a-f]{12}\.part", re.DOTALL)
_JOURNAL = re.compile(r"\..*~[0-9a-f]{16}\.old", re.DOTALL)

#: Age in seconds after which a file counts as left behind if locks are not supported.
_PART_AGE_S = 24 * 3600.0
_JOURNAL_AGE_S = 3600.0

_tidied: set[str] = set()
_one_at_a_time = threading.RLock()


@dataclass
class Part:
    """A file or folder that is being written, with its lock.

    Attributes
    ----------
    path
        Its temporary name.
    descriptor
        File descriptor that holds the lock while it is being written.
    """

    path: Path
    descriptor: int | None

    def flush(self) -> None:
        """Flush the content to the disk; for a folder, the names in it."""
        if self.descriptor is not None:
            os.fsync(self.descriptor)
        elif self.path.is_file():
            flush_file(self.path)

    def release(self) -> None:
        """Release the lock; the file or folder is kept."""
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)

    def discard(self) -> None:
        """Remove it, if it still has its temporary name, and release the lock. Never raises an OSError."""
        remove(self.path)
        self.release()


def temporary_path(target: Path) -> Path:
    """Return an unused temporary name next to `target`."""
    # The start of the final name tells users what a file left by a power failure was; the whole name could be too long.
    return target.parent / f".{target.name[:30]}-{secrets.token_hex(6)}.part"


def journal_path(target: Path) -> Path:
    """Return the name of the journal for replacing `target`, always the same one."""
    digest = hashlib.blake2b(os.fsencode(target.name), digest_size=8).hexdigest()
    return target.parent / f".{target.name[:30]}~{digest}.old"


def new_file(target: Path) -> Part:
    """Create an empty file with a temporary name next to `target`, with the permissions of any new file."""
    path = temporary_path(target)
    with folder_lock(target.parent):
        part = Part(path, os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
        if fcntl is None:
            part.release()  # Windows cannot rename open files
        else:
            _claim(part)
    return part


def new_folder(target: Path) -> Part:
    """Create an empty folder with a temporary name next to `target`."""
    path = temporary_path(target)
    with folder_lock(target.parent):
        path.mkdir()
        part = Part(path, None)
        if fcntl is not None:
            try:
                part.descriptor = os.open(path, os.O_RDONLY)
            except OSError:
                part.discard()
                raise
            _claim(part)
    return part


@contextmanager
def folder_lock(folder: Path) -> Iterator[bool]:
    """Exclude other threads and processes that replace files in `folder`; yields whether processes are excluded.

    The lock is held for milliseconds.
    """
    with _one_at_a_time:
        descriptor = None
        if fcntl is not None:
            with suppress(OSError):
                descriptor = os.open(folder, os.O_RDONLY)
        try:
            is_locked = False
            if descriptor is not None:
                with suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                    is_locked = True
            yield is_locked
        finally:
            if descriptor is not None:
                with suppress(OSError):
                    os.close(descriptor)


def exists(path: Path) -> bool:
    """Whether `path` exists, also as a broken link. Unlike ``os.path.lexists``, it raises other errors."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, if there is one. Never raises an OSError."""
    with suppress(OSError):
        if stat.S_ISDIR(path.lstat().st_mode):
            # Some errors are raised nevertheless, hence the outer suppress.
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def flush_file(path: Path) -> None:
    """Flush a file's content to the disk."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, if the system supports it."""
    if fcntl is None:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def find_leftovers(folder: Path) -> tuple[list[Path], list[Path]]:
    """List the parts and journals that dead processes left in `folder`. Call it with the folder's lock held."""
    parts, journals = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if _PART.fullmatch(entry.name) and _is_abandoned(entry):
                parts.append(Path(entry.path))
            elif _JOURNAL.fullmatch(entry.name):
                journals.append(Path(entry.path))
    return parts, journals


def first_time(folder: Path) -> bool:
    """Whether this process has not yet looked for leftovers in `folder`."""
    key = os.path.realpath(folder)
    if key in _tidied:
        return False
    _tidied.add(key)
    return True


def is_old_journal(journal: Path) -> bool:
    """Whether a journal is so old that its writer must have ended."""
    return time.time() - journal.stat().st_mtime > _JOURNAL_AGE_S


def _is_abandoned(entry: os.DirEntry[str]) -> bool:
    if entry.is_symlink():
        return False
    with suppress(OSError):
        if fcntl is not None:
            descriptor = os.open(entry.path, os.O_RDONLY)
            try:
                return _try_lock(descriptor)
            except OSError:  # the file system does not support locks
                pass
            finally:
                os.close(descriptor)
        return time.time() - entry.stat().st_mtime > _PART_AGE_S
    return False


def _claim(part: Part) -> None:
    """Lock `part` to mark it as being written, if the file system supports locks."""
    if part.descriptor is not None:
        with suppress(OSError):
            _try_lock(part.descriptor)


def _try_lock(descriptor: int) -> bool:
    """Lock an open file or folder; returns False if another process holds the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
