"""Digests of files that were read before, so that a file that nobody has touched since need not be read again.

One text file in the cache's folder, with a line for each file: a key, the digest, and a checksum of the two. The key stands
for path, device, inode, size, and the times of the last change of content and of status. No program can set the latter,
so a file that was replaced by one of the same size and time of modification (``cp -p``, ``rsync -t``) has another key.

Processes share the file without locks. Each reads it once and appends lines, each by a single write; a line that is
incomplete, or mixed with another, fails its checksum and is passed over. Nothing that goes wrong here costs more than
reading a song again.
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

#: The entry of the cache that holds the lines; its kind is ``digests``.
ENTRY = "digests-1"

#: Bytes of the file, for about 100,000 songs. When it is larger, the older half is dropped.
MOST_BYTES = 8_000_000

_KEY_CHARACTERS = 32


class KnownDigests:
    """Digests by path and state of a file. Threads may share it.

    Parameters
    ----------
    cache
        Where they are kept, within its limit.
    """

    def __init__(self, cache: ArrayCache) -> None:
        self._path = cache.path_of(ENTRY)
        self._most = min(MOST_BYTES, cache.limit)
        self._lines: dict[bytes, bytes] | None = None
        self._lock = threading.Lock()

    def get(self, path: Path, state: tuple[int, ...]) -> str | None:
        """Look up the digest of a file in this state; None where it is not known."""
        key = _key(path, state)
        with self._lock:
            if self._lines is None:
                self._lines = _by_key(self._read())
                with contextlib.suppress(OSError):
                    os.utime(self._path)  # used now
            line = self._lines.get(key)
        if line is None:
            return None
        digest = line[_KEY_CHARACTERS + 1 :].rpartition(b" ")[0]
        try:
            return digest.decode("ascii") if line == _line(key, digest) else None
        except UnicodeDecodeError:
            return None

    def put(self, path: Path, state: tuple[int, ...], digest: str) -> None:
        """Remember the digest of a file in this state."""
        key = _key(path, state)
        line = _line(key, digest.encode("ascii"))
        with self._lock:
            if self._lines is not None:
                self._lines[key] = line
            try:
                if self._append(line) > self._most:
                    self._drop_older_half()
            except (OSError, OutputError) as error:
                log.debug("The digest of %s is not remembered: %s", path, error)

    def _append(self, line: bytes) -> int:
        """Append a line, and give the size of the file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        descriptor = os.open(self._path, flags, 0o666)
        try:
            # The first newline ends a line that was cut short.
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
        """The newest lines of the file, as many as it may hold."""
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
