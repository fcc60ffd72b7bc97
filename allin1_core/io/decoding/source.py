"""Audio files for decoders: opened by Python, whole or assembled from pieces.

Decoders never get a path. So files can have any name that the system allows, independent of its encoding and the locale, and no
decoder searches for related files.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

from allin1_core.errors import AudioError

#: Number of bytes that are read at once.
STEP = 1 << 16

#: Largest file in bytes that is copied to memory for a decoder: 20 minutes of MP3, or four and a half of WAV.
MOST_IN_MEMORY = 48 << 20


class Source:
    """A regular file, open for reading at any offset.

    Attributes
    ----------
    path, size
        The file, and its length in bytes when it was opened.
    error
        The error that occurred while reading, or None. Decoders read from C code, where an exception would be lost, so
        they get the end of the file instead.

    Raises
    ------
    AudioError
        The file is missing, empty, not a regular file, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error: OSError | None = None
        try:
            if path.is_dir():
                raise AudioError(
                    "is a folder, not an audio file.", remedy="Give the files in it.", path=path
                )
            if path.exists() and not path.is_file():
                raise AudioError(
                    "is not a regular file.", remedy="Write the audio to a file first.", path=path
                )
            self._file = path.open("rb")
        except FileNotFoundError as error:
            raise AudioError("does not exist.", remedy="Check its name.", path=path) from error
        except PermissionError as error:
            raise AudioError(
                "may not be read by this user.", remedy="Change its permissions.", path=path
            ) from error
        except OSError as error:
            raise AudioError(f"cannot be opened: {error.strerror or error}.", path=path) from error
        except ValueError as error:
            # A NUL character, or one that the encoding of the file system lacks.
            raise AudioError(
                "is not a valid name of a file.", remedy="Check its name.", path=path
            ) from error
        try:
            self.size = os.fstat(self._file.fileno()).st_size
            first = self._file.read(1)
        except OSError as error:
            self.close()
            raise AudioError(f"cannot be read: {error.strerror or error}.", path=path) from error
        if not first:
            self.close()
            raise AudioError("is empty.", remedy="Download or export it again.", path=path)

    def read_at(self, offset: int, size: int) -> bytes:
        """Read up to `size` bytes; fewer only at the end of the file or if reading fails."""
        try:
            self._file.seek(max(0, offset))
            return self._file.read(size)
        except OSError as error:
            self.error = error
            return b""

    def check(self) -> None:
        """Raise an error that occurred while reading.

        Raises
        ------
        AudioError
            Reading has failed.
        """
        if self.error is not None:
            reason = self.error.strerror or self.error
            raise AudioError(f"cannot be read: {reason}.", path=self.path) from self.error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


#: A piece of an assembled file: a range of offsets in the source, or bytes that replace others.
Piece = bytes | range


class Spliced:
    """A file for a decoder, assembled from pieces of a source; has the interface of binary files.

    Parameters
    ----------
    source
        The file that ranges refer to.
    pieces
        Pieces in order; None for the whole source.
    """

    def __init__(self, source: Source, pieces: Iterable[Piece] | None = None) -> None:
        self._source = source
        pieces = [range(source.size)] if pieces is None else pieces
        self._pieces = [piece for piece in pieces if len(piece)]
        self._starts = list(accumulate(map(len, self._pieces), initial=0))
        self.size = self._starts.pop()
        self._at = 0
        self._window, self._window_start = b"", 0

    def readable(self) -> bool:
        """Return True: the file is readable."""
        return True

    def seekable(self) -> bool:
        """Return True: the file is seekable."""
        return True

    def writable(self) -> bool:
        """Return False: the file is read-only."""
        return False

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes, or the rest of the file."""
        buffer = bytearray(max(0, self.size - self._at) if size < 0 else size)
        return bytes(buffer[: self.readinto(buffer)])

    def readinto(self, buffer: bytearray) -> int:
        """Read into `buffer`, and return the number of bytes read."""
        wanted, done = len(buffer), 0
        while done < wanted:
            inside = self._at - self._window_start
            if not 0 <= inside < len(self._window):
                self._load(wanted - done)
                inside = 0
                if not self._window:
                    break
            part = self._window[inside : inside + wanted - done]
            buffer[done : done + len(part)] = part
            done += len(part)
            self._at += len(part)
        return done

    def _load(self, wanted: int) -> None:
        """Load the window at the current position; it is empty at the end."""
        self._window, self._window_start = b"", self._at
        if not 0 <= self._at < self.size:
            return
        index = bisect_right(self._starts, self._at) - 1
        piece = self._pieces[index][self._at - self._starts[index] :]
        if isinstance(piece, bytes):
            self._window = piece
        else:
            self._window = self._source.read_at(piece.start, min(len(piece), max(wanted, STEP)))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Change the position, and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Return the current position."""
        return self._at


def copy_in_memory(file: Spliced) -> BinaryIO | None:
    """Copy a file to an anonymous file in memory, which C code can read by its descriptor.

    A decoder that calls Python to read does so thousands of times per song, and each call waits for the GIL and delays
    the threads that use it. If reading fails, the copy ends there, as the file itself would.

    Returns
    -------
    file or None
        The copy, at its start; None if the file is large, or the system has no such files.
    """
    create = getattr(os, "memfd_create", None)
    if create is None or file.size > MOST_IN_MEMORY:
        return None
    try:
        copy: BinaryIO = os.fdopen(create("allin1-audio"), "w+b", buffering=0)
    except OSError:
        return None
    try:
        file.seek(0)
        while part := file.read(STEP):
            if copy.write(part) != len(part):
                raise OSError("there is no more memory")
        copy.seek(0)
    except OSError:
        copy.close()
        return None
    return copy
