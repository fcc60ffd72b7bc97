"""Digests of files from earlier runs, so that unchanged files need not be read again.

All digests are stored in one text file in the cache folder, one line per file: a key, the digest, and a checksum of both.
The key is computed from the path, device, inode, size, and the times of the last change of the content (mtime) and of the
status (ctime). Programs cannot set the ctime, so if a file is replaced by one with the same size and mtime (``cp -p``,
``rsync -t``), its key changes.

Processes share the file without locks. Each process reads it once and appends lines, each with a single write. Lines that
are incomplete or interleaved fail their checksum and are ignored. An error here only means that a song is read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
from pathlib import Path

from allin1_core.errors import OutputError
from allin1_core.io.atomic import atomic_path
from allin1_core.io.cache import ArrayCache

log = logging.getLogger(__name__)

#: The cache entry that contains the lines; its kind is ``digests``.
ENTRY = "digests-1"

#: Maximum size of the file in bytes, for about 100,000 songs. Above it, the older half of the lines is removed.
MOST_BYTES = 8_000_000

_KEY_CHARACTERS = 32


class KnownDigests:
    """Digests by path and state of a file. An instance may be shared by threads.

    Parameters
    ----------
    cache
        The cache in which they are stored, within its limit.
    """

    def __init__(self, cache: ArrayCache) -> None:
        self._path = cache.path_of(ENTRY)
        self._most = min(MOST_BYTES, cache.limit)
        self._lines: dict[bytes, bytes] | None = None
        self._lock = threading.Lock()

    def get(self, path: Path, state: tuple[int, ...]) -> str | None:
        """Return the digest of a file in this state; None if it is unknown."""
        key = _key(path, state)
        with self._lock:
            if self._lines is None:
                self._lines = _by_key(self._read())
                with contextlib.suppress(OSError):
                    os.utime(self._path)  # mark as used
            line = self._lines.get(key)
        if line is None:
            return None
        digest = line[_KEY_CHARACTERS + 1 :].rpartition(b" ")[0]
        try:
            return digest.decode("ascii") if line == _line(key, digest) else None
        except UnicodeDecodeError:
            return None

    def put(self, path: Path, state: tuple[int, ...], digest: str) -> None:
        """Store the digest of a file in this state."""
        key = _key(path, state)
        line = _line(key, digest.encode("ascii"))
        with self._lock:
            if self._lines is not None:
                self._lines[key] = line
            try:
                if self._append(line) > self._most:
                    self._drop_older_half()
            except (OSError, OutputError) as error:
                log.debug("The digest of %s was not stored: %s", path, error)

    def _append(self, line: bytes) -> int:
        """Append a line, and return the size of the file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        descriptor = os.open(self._path, flags, 0o666)
        try:
            # The first newline terminates an incomplete line.
            os.write(descriptor, b"\n" + line + b"\n")
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    def _drop_older_half(self) -> None:
        lines = _by_key(self._read()[-(self._most // 2) :])
        with atomic_path(self._path) as temporary:
            temporary.write_bytes(b"\n".join([*lines.values(), b""]))
        self._lines = lines

    def _read(self) -> bytes:
        """The newest part of the file, up to its maximum size."""
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - self._most))
                return file.read(self._most)
        except OSError:
            return b""


def _by_key(content: bytes) -> dict[bytes, bytes]:
    return {line[:_KEY_CHARACTERS]: line for line in content.split(b"\n") if line}


def _key(path: Path, state: tuple[int, ...]) -> bytes:
    text = b"\0".join([os.fsencode(os.path.realpath(path)), *(b"%d" % part for part in state)])
    return hashlib.blake2b(text, digest_size=_KEY_CHARACTERS // 2).hexdigest().encode()


def _line(key: bytes, digest: bytes) -> bytes:
    content = key + b" " + digest
    return content + b" " + hashlib.blake2b(content, digest_size=4).hexdigest().encode()
