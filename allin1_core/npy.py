"""Arrays in NumPy's binary format, read without building a syntax tree.

NumPy reads headers with :func:`ast.literal_eval`. Before Python 3.13, the recursion depth of ``ast`` is shared by the
whole interpreter (python/cpython#106905): if two threads build trees at the same time, for example one that loads the
1,473 arrays of the weights and one that imports SciPy, which inspects signatures, either may fail with ``SystemError:
AST constructor recursion depth mismatch``. The headers that NumPy writes for numbers have a fixed form, which a regular
expression matches.
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

#: First bytes of the format.
MAGIC = b"\x93NUMPY"

#: Bytes before a header of version 1.0: the magic, the version and the length of the header.
_PREFIX = len(MAGIC) + 4

_PLAIN = re.compile(
    rb"\{'descr': '([<>|][biufc]\d{1,2})', 'fortran_order': (True|False),"
    rb" 'shape': \(((?:\d{1,18}(?:, )?)*,?)\), \} *\n"
)


@dataclass(frozen=True)
class NpyHeader:
    """A header.

    Attributes
    ----------
    shape
        Length of each axis.
    is_fortran
        Whether the first axis varies fastest.
    dtype
        Type of the elements.
    start
        Offset of the first element in bytes.
    """

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]
    start: int

    @property
    def end(self) -> int:
        """Offset behind the last element in bytes."""
        return self.start + math.prod(self.shape) * self.dtype.itemsize


def read_header(content: bytes | bytearray) -> NpyHeader:
    """Read the header of an array.

    Parameters
    ----------
    content
        The whole array, or its beginning with the header.

    Raises
    ------
    ValueError
        There is no valid header, or its version is later than 2.0. For headers that NumPy does not write itself, its
        parser may raise a few other exceptions, which depend on the version of NumPy.
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
    """Return the array that follows a header; it shares its memory with `content`.

    Raises
    ------
    ValueError
        It contains Python objects, which could run code of their author, or is shorter than its header states.
    """
    import numpy as np

    if header.dtype.hasobject:
        raise ValueError("it contains Python objects, not numbers")
    if not header.start <= header.end <= len(content):
        raise ValueError("it is shorter than its header states")
    flat = np.frombuffer(content, header.dtype, math.prod(header.shape), header.start)
    return flat.reshape(header.shape, order="F" if header.is_fortran else "C")


def _plain_header(content: bytes | bytearray) -> NpyHeader | None:
    """Read a header of numbers in the form that NumPy writes; return None for any other header."""
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
