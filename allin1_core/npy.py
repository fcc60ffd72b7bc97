"""NumPy's form of an array in bytes, read without building a syntax tree.

NumPy reads a header by :func:`ast.literal_eval`. Before Python 3.13 the recursion depth of ``ast`` belongs to the whole
interpreter (python/cpython#106905): of two threads that build trees at the same time, as one that loads the weights' 1,473
arrays and one that imports SciPy, which inspects signatures, either may fail with ``SystemError: AST constructor recursion
depth mismatch``. The headers that NumPy writes for numbers have one form, which a regular expression matches.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: How the form begins.
MAGIC = b"\x93NUMPY"

#: Bytes before a header of version 1.0: the magic, the version and the length of the header.
_PREFIX = len(MAGIC) + 4

_PLAIN = re.compile(
    rb"\{'descr': '([<>|][biufc]\d{1,2})', 'fortran_order': (True|False),"
    rb" 'shape': \(((?:\d{1,18}(?:, )?)*,?)\), \} *\n"
)


@dataclass(frozen=True)
class NpyHeader:
    """What a header says.

    Attributes
    ----------
    shape
        Length of each axis.
    is_fortran
        The first axis varies fastest.
    dtype
        Kind of each element.
    start
        Byte at which the elements begin.
    """

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]
    start: int

    @property
    def end(self) -> int:
        """Byte at which the elements end."""
        return self.start + math.prod(self.shape) * self.dtype.itemsize


def read_header(content: bytes | bytearray) -> NpyHeader:
    """Read the header of an array.

    Parameters
    ----------
    content
        The whole, or its beginning with the header.

    Raises
    ------
    ValueError
        It is no such header, or of a version later than 2.0. NumPy's parser, which reads what it does not write itself, raises a
        few others, which change with its versions.
    """
    import numpy as np

    header = _plain_header(content)
    if header is not None:
        return header
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"its version is {version[0]}.{version[1]}")
    shape, is_fortran, dtype = readers[version](file)
    return NpyHeader(shape, is_fortran, dtype, file.tell())


def read_elements(content: bytes | bytearray, header: NpyHeader) -> NDArray[Any]:
    """Give the array that follows a header, which shares its memory with `content`.

    Raises
    ------
    ValueError
        It holds Python objects, which could run code of their author's, or is shorter than its header says.
    """
    import numpy as np

    if header.dtype.hasobject:
        raise ValueError("it holds Python objects, not numbers")
    if not header.start <= header.end <= len(content):
        raise ValueError("it is shorter than its header says")
    flat = np.frombuffer(content, header.dtype, math.prod(header.shape), header.start)
    return flat.reshape(header.shape, order="F" if header.is_fortran else "C")


def _plain_header(content: bytes | bytearray) -> NpyHeader | None:
    """Read a header of numbers as NumPy writes it; None for everything else."""
    import numpy as np

    if content[: _PREFIX - 2] != MAGIC + b"\x01\x00":
        return None
    start = _PREFIX + int.from_bytes(content[_PREFIX - 2 : _PREFIX], "little")
    match = _PLAIN.fullmatch(content[_PREFIX:start])
    if match is None:
        return None
    try:
        dtype = np.dtype(match[1].decode())
    except TypeError:
        return None
    shape = tuple(int(length) for length in match[3].split(b",") if length.strip())
    return NpyHeader(shape, match[2] == b"True", dtype, start)
