"""A cache of arrays in the user's cache folder, keyed by everything that they were computed from.

Each entry is a file named by its key. It contains a digest of its content, which is verified when it is read, and is
written atomically, so several processes can share the cache. If the total size exceeds a limit, the least recently used
entries are removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from platformdirs import user_cache_path

from allin1_core.errors import Allin1Error
from allin1_core.io.arrays import ArrayError, pack_arrays, unpack_arrays
from allin1_core.io.atomic import atomic_path
from allin1_core.io.sizes import read_size

log = logging.getLogger(__name__)

#: Limit in bytes for all entries, unless ``ALLIN1_CACHE_LIMIT`` is set.
DEFAULT_LIMIT = 2_000_000_000

_SUFFIX = ".a1cache"
_MAGIC = b"allin1 cache 1\n"
_DIGEST_BYTES = 32


def cache_key(kind: str, **parts: object) -> str:
    """Return the key of an entry, which depends on everything that it was computed from.

    Parameters
    ----------
    kind
        Kind of its content, such as ``logits``.
    **parts
        Everything that it depends on; values whose ``repr`` is the same in every process: strings, numbers, and tuples
        and frozen dataclasses of these.

    >>> cache_key("logits", audio="ab12", model="builtin") == cache_key(
    ...     "logits", model="builtin", audio="ab12"
    ... )
    True
    """
    text = "\n".join(f"{name}={parts[name]!r}" for name in sorted(parts))
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
    return f"{kind}-{digest}"


def default_cache_folder() -> Path:
    """Return the folder of the cache: in ``ALLIN1_CACHE_DIR`` if set, otherwise in the user's cache folder."""
    named = os.environ.get("ALLIN1_CACHE_DIR")
    return (Path(named) if named else user_cache_path("allin1")) / "arrays"


def default_limit() -> int:
    """Return the limit in bytes: ``ALLIN1_CACHE_LIMIT``, such as ``500M`` or ``10G``, if set, otherwise 2 GB.

    Raises
    ------
    SettingsError
        The variable is not a valid size.
    """
    return read_size("ALLIN1_CACHE_LIMIT", DEFAULT_LIMIT)


@dataclass(frozen=True)
class CacheInfo:
    """The content of the cache.

    Attributes
    ----------
    folder
        Its location.
    entries, size
        Number of entries, and their total size in bytes.
    limit
        Maximum size in bytes.
    kinds
        Number of entries and size in bytes of each kind.
    """

    folder: Path
    entries: int
    size: int
    limit: int
    kinds: dict[str, tuple[int, int]]


class ArrayCache:
    """Arrays by key, limited in size. Errors only cause cache misses and never a failure.

    Parameters
    ----------
    folder
        Folder of the entries; None for :func:`default_cache_folder`.
    limit
        Maximum total size in bytes; None for :func:`default_limit`. 0 disables the cache.
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, *, limit: int | None = None
    ) -> None:
        self.folder = default_cache_folder() if folder is None else Path(folder)
        self.limit = default_limit() if limit is None else limit

    def get(self, key: str) -> dict[str, NDArray[Any]] | None:
        """Look up an entry.

        Returns
        -------
        dict of str to ndarray or None
            Its arrays; None if there is no such entry, or it is damaged. A damaged entry is removed.
        """
        path = self.path_of(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        arrays = _unpack(content)
        if arrays is None:
            log.warning("The cache entry %s is damaged and was removed.", path)
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # mark as recently used
        return arrays

    def put(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Store `arrays` under `key`, and remove the least recently used entries if the cache is too large."""
        content = _pack(arrays)
        if len(content) > self.limit:
            return
        try:
            with atomic_path(self.path_of(key)) as temporary:
                temporary.write_bytes(content)
        except Allin1Error as error:
            log.warning("The cache could not be written: %s", error)
            return
        self._evict()

    def path_of(self, key: str) -> Path:
        """Give the file of an entry, whether or not it is there."""
        return self.folder / f"{key}{_SUFFIX}"

    def info(self) -> CacheInfo:
        """Count the entries."""
        kinds: dict[str, tuple[int, int]] = {}
        for path, status in self._entries():
            kind = path.name.rpartition("-")[0]
            count, size = kinds.get(kind, (0, 0))
            kinds[kind] = count + 1, size + status.st_size
        return CacheInfo(
            self.folder,
            sum(count for count, _ in kinds.values()),
            sum(size for _, size in kinds.values()),
            self.limit,
            dict(sorted(kinds.items())),
        )

    def clear(self) -> int:
        """Remove all entries, and no other files; returns the number of bytes freed."""
        freed = 0
        for path, status in self._entries():
            with contextlib.suppress(OSError):
                path.unlink()
                freed += status.st_size
        return freed

    def _entries(self) -> Iterator[tuple[Path, os.stat_result]]:
        try:
            with os.scandir(self.folder) as listing:
                for entry in listing:
                    if not entry.name.endswith(_SUFFIX) or not entry.is_file(follow_symlinks=False):
                        continue
                    with contextlib.suppress(OSError):  # another process removed it
                        yield Path(entry.path), entry.stat(follow_symlinks=False)
        except OSError:
            return

    def _evict(self) -> None:
        entries = list(self._entries())
        size = sum(status.st_size for _, status in entries)
        if size <= self.limit:
            return
        entries.sort(key=lambda entry: entry[1].st_mtime_ns)
        for path, status in entries:
            with contextlib.suppress(OSError):
                path.unlink()
            size -= status.st_size
            # Somewhat below the limit, so that not every new entry evicts one.
            if size <= 0.9 * self.limit:
                return


def _pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    payload = pack_arrays(arrays)
    return _MAGIC + _digest(payload) + payload


def _unpack(content: bytes) -> dict[str, NDArray[Any]] | None:
    start = len(_MAGIC) + _DIGEST_BYTES
    payload = content[start:]
    if content[: len(_MAGIC)] != _MAGIC or content[len(_MAGIC) : start] != _digest(payload):
        return None
    try:
        return unpack_arrays(payload)
    except ArrayError:
        return None


def _digest(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_DIGEST_BYTES).digest()
