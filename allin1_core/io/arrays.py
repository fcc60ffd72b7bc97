"""Files of floating-point arrays in NumPy's formats.

They may come from untrusted sources: no code is executed, and sizes are checked first.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from allin1_core.npy import read_elements, read_header

#: Limit in bytes for an array in an archive, where data may be compressed to a thousandth: labels of 18 hours.
MOST_IN_ARCHIVE = 256 * 2**20

#: Bytes within which a header ends; NumPy refuses longer ones.
_HEADER_BYTES = 16_384


class ArrayError(ValueError):
    """A file does not contain the expected arrays; the message says why."""


def read_array(path: Path) -> NDArray[Any]:
    """Read an array of floating-point numbers from a ``.npy`` file.

    Raises
    ------
    OSError
        The file cannot be read.
    ArrayError
        It is not a ``.npy`` file, or contains another type of data.
    """
    with _open(path) as file:
        size = os.fstat(file.fileno()).st_size
        array: NDArray[Any] = _guarded(_read, file, size)
        return array


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read the arrays called `names` from a ``.npz`` file; raises the same errors as :func:`read_array`."""
    with _open(path) as file:
        arrays: dict[str, NDArray[Any]] = _guarded(_read_archive, file, names)
        return arrays


def write_array(file: IO[bytes], array: NDArray[Any]) -> None:
    """Write an array in the ``.npy`` format, and report every error.

    Given a real file, NumPy writes through a C buffer, and does not check whether flushing it succeeded.
    """
    np.save(_Sink(file), array, allow_pickle=False)


def unpack_arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """Read the output of :func:`pack_arrays`.

    Raises
    ------
    ArrayError
        `content` is damaged, or in another format.
    """
    arrays: dict[str, NDArray[Any]] = _guarded(_unpack, content)
    return arrays


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return arrays in the ``.npz`` format.

    They are not written to a file directly: an archive whose writing failed raises again when it is garbage-collected.
    """
    buffer = io.BytesIO()
    named: dict[str, Any] = dict(arrays)
    np.savez(buffer, **named)
    return buffer.getvalue()


class _Sink:
    """A file that only has a ``write`` method, so that NumPy uses that."""

    def __init__(self, file: IO[bytes]) -> None:
        self.write = file.write


def _open(path: Path) -> IO[bytes]:
    if not stat.S_ISREG(path.stat().st_mode):
        raise ArrayError("it is not a regular file")
    return path.open("rb")


def _guarded(read: Any, *arguments: Any) -> Any:
    """Call a parser on an untrusted file, and turn its exceptions into :class:`ArrayError`.

    The parsers of zip archives and NumPy headers raise a dozen exceptions (``struct.error``, ``zlib.error``,
    ``tokenize.TokenError``, ``NotImplementedError`` …), which differ between versions.
    """
    try:
        return read(*arguments)
    except (ArrayError, OSError):
        raise
    except Exception as error:
        lines = str(error).splitlines()
        raise ArrayError(lines[0] if lines else type(error).__name__) from error


def _unpack(content: bytes) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: bytearray(archive.read(name)) for name in archive.namelist()}
    return {
        name.removesuffix(".npy"): read_elements(member, read_header(member))
        for name, member in members.items()
    }


def _read_archive(file: IO[bytes], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        wanted = {name: members.get(f"{name}.npy") for name in names}
        if None in wanted.values():
            raise ArrayError(f"it does not contain {', '.join(names)}")
        arrays = {}
        for name, info in wanted.items():
            if info is None or info.file_size > MOST_IN_ARCHIVE:
                raise ArrayError(f"{name} is too large")
            with archive.open(info) as part:
                arrays[name] = _read(part, info.file_size)
        return arrays


def _read(file: IO[bytes], size: int) -> NDArray[Any]:
    """Read an array from a file of `size` bytes; nothing is allocated before its header agrees with its size."""
    head = file.read(min(size, _HEADER_BYTES))
    header = read_header(head)
    if header.dtype.kind != "f":
        raise ArrayError("it does not contain floating-point numbers")
    if header.end > size:
        raise ArrayError("it is shorter than its header states")
    if header.end < size:
        raise ArrayError("it is longer than its header states")
    content = bytearray(size)
    content[: len(head)] = head
    _read_into(file, memoryview(content)[len(head) :])
    if file.read(1):
        raise ArrayError("it is longer than its header states")
    return read_elements(content, header)


def _read_into(file: IO[bytes], left: memoryview) -> None:
    while left:
        block = file.read(min(len(left), 2**20))
        if not block:
            raise ArrayError("it is truncated")
        left[: len(block)] = block
        left = left[len(block) :]
