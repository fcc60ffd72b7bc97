"""NumPy's files of floating-point numbers. Anybody may have written one: nothing is executed, and sizes are checked first."""

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

#: Most bytes of an array in an archive, which may be compressed to a thousandth: labels of eighteen hours.
MOST_IN_ARCHIVE = 256 * 2**20


class ArrayError(ValueError):
    """A file does not hold the arrays that it should; the text says why."""


def read_array(path: Path) -> NDArray[Any]:
    """Read an array of floating-point numbers from a ``.npy`` file.

    Raises
    ------
    OSError
        It cannot be read.
    ArrayError
        It is no such file, or holds something else.
    """
    with _open(path) as file:
        size = os.fstat(file.fileno()).st_size
        array: NDArray[Any] = _guarded(_read, file, size)
        return array


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read the arrays called `names` from a ``.npz`` file; as :func:`read_array`."""
    with _open(path) as file:
        arrays: dict[str, NDArray[Any]] = _guarded(_read_archive, file, names)
        return arrays


def write_array(file: IO[bytes], array: NDArray[Any]) -> None:
    """Write an array in the form of ``.npy``, with every error told.

    Given a file itself, NumPy writes by a buffer of C's, and does not look whether that could be emptied.
    """
    np.save(_Sink(file), array, allow_pickle=False)


def unpack_arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """Read what :func:`pack_arrays` gave.

    Raises
    ------
    ArrayError
        It is something else.
    """
    arrays: dict[str, NDArray[Any]] = _guarded(_unpack, content)
    return arrays


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Give arrays in the form of ``.npz``.

    Written to a file directly, an archive whose writing failed complains again when Python collects it.
    """
    buffer = io.BytesIO()
    named: dict[str, Any] = dict(arrays)
    np.savez(buffer, **named)
    return buffer.getvalue()


class _Sink:
    """A file of which NumPy knows no more than that it can be written."""

    def __init__(self, file: IO[bytes]) -> None:
        self.write = file.write


def _open(path: Path) -> IO[bytes]:
    if not stat.S_ISREG(path.stat().st_mode):
        raise ArrayError("it is no file")
    return path.open("rb")


def _guarded(read: Any, *arguments: Any) -> Any:
    """Call what parses a hostile file.

    The parsers of zip archives and NumPy's headers raise a dozen exceptions (``struct.error``, ``zlib.error``,
    ``tokenize.TokenError``, ``NotImplementedError`` …), and which ones changes with their versions.
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
            raise ArrayError(f"it does not hold {', '.join(names)}")
        arrays = {}
        for name, info in wanted.items():
            if info is None or info.file_size > MOST_IN_ARCHIVE:
                raise ArrayError(f"{name} is too large")
            with archive.open(info) as part:
                arrays[name] = _read(part, info.file_size)
        return arrays


def _read(file: IO[bytes], size: int) -> NDArray[Any]:
    """Read an array from a file of `size` bytes."""
    content = bytearray(size)
    _read_into(file, content)
    header = read_header(content)
    if header.dtype.kind != "f":
        raise ArrayError("it holds no floating-point numbers")
    array = read_elements(content, header)
    if header.end != size or file.read(1):
        raise ArrayError("it is longer than its header says")
    return array


def _read_into(file: IO[bytes], raw: bytearray) -> None:
    left = memoryview(raw)
    while left:
        block = file.read(min(len(left), 2**20))
        if not block:
            raise ArrayError("it ends too early")
        left[: len(block)] = block
        left = left[len(block) :]
