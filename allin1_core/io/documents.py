"""JSON and TOML files from untrusted sources: read with limits, and rejected with a single exception.

Problems of malicious files (infinite numbers, endless nesting, a pipe instead of a file) are handled here, so that
readers only need to convert one exception into their own.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import stat
import sys
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")

#: Limit in bytes for a document; the longest results have a few hundred thousand.
MOST_BYTES = 64 * 2**20

#: Limit in bytes for a configuration file. The time to parse one is quadratic in the length of a key.
MOST_TOML_BYTES = 64 * 2**10

#: Deepest nesting; results have six levels.
MOST_LEVELS = 50


class DocumentError(ValueError):
    """A document is invalid; the message says why, as the end of a sentence."""


def read_json(path: Path) -> Any:
    """Read a JSON document.

    Raises
    ------
    OSError
        The file cannot be read.
    DocumentError
        It is not a single JSON document in UTF-8, contains numbers that are not finite, or has more than 50 levels.
    """
    return _read(path, lambda text: json.loads(text, parse_constant=_refuse_constant), MOST_BYTES)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML document; raises the same errors as :func:`read_json`.

    Unlike JSON, it is written by people, whose editors may begin it with a byte order mark.
    """
    content: dict[str, Any] = _read(path, tomllib.loads, MOST_TOML_BYTES, encoding="utf-8-sig")
    return content


def _read(path: Path, parse: Callable[[str], Any], most: int, *, encoding: str = "utf-8") -> Any:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DocumentError("it is not a regular file")
        with path.open("rb") as file:
            raw = file.read(most + 1)
        if len(raw) > most:
            raise DocumentError(f"it has more than {most} bytes")
        content = parse(raw.decode(encoding))
    except (DocumentError, OSError):
        raise
    except RecursionError as error:
        raise DocumentError("it is nested too deeply") from error
    except (ValueError, OverflowError, MemoryError) as error:
        # The first line says what is wrong.
        raise DocumentError((str(error).splitlines() or ["it is damaged"])[0]) from error
    _check(content)
    return content


def _refuse_constant(name: str) -> Any:
    raise DocumentError(f"it contains {name}, which is not valid JSON")


def _check(content: Any) -> None:
    """Reject numbers and nesting that would fail later, in code that does not expect them."""
    level = [content]
    for _ in range(MOST_LEVELS):
        values: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                values += one.values()
            elif isinstance(one, list):
                values += one
            elif isinstance(one, float) and not math.isfinite(one):
                raise DocumentError("it contains a number that is not finite")
        if not values:
            return
        level = values
    raise DocumentError("it is nested too deeply")


# Each of these functions checks the type of a value and returns it, or raises a DocumentError with its name.


def text(value: Any, name: str) -> str:
    """Expect a string."""
    if not isinstance(value, str):
        raise DocumentError(f"{name} is not a string")
    return value


def path(value: Any, name: str) -> Path:
    """Expect a string that can name a file."""
    found = text(value, name)
    try:
        os.fsencode(found)
    except UnicodeEncodeError as error:
        raise DocumentError(f"{name} contains half of a surrogate pair") from error
    if "\0" in found:
        raise DocumentError(f"{name} contains a NUL character")
    return Path(found)


def number(value: Any, name: str) -> float:
    """Expect a finite number; true and false are rejected."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DocumentError(f"{name} is not a number")
    try:
        return float(value)
    except OverflowError as error:
        raise DocumentError(f"{name} is out of range") from error


def whole(value: Any, name: str) -> int:
    """Expect an integer that fits into 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise DocumentError(f"{name} is not an integer")
    if not -(2**63) <= value < 2**63:
        raise DocumentError(f"{name} is out of range")
    return value


def items(value: Any, name: str, convert: Callable[[Any, str], T]) -> list[T]:
    """Expect a list, and convert each element with `convert`."""
    if not isinstance(value, list):
        raise DocumentError(f"{name} is not a list")
    return [convert(one, name) for one in value]


def table(value: Any, name: str) -> dict[str, Any]:
    """Expect an object with named members."""
    if not isinstance(value, dict):
        raise DocumentError(f"{name} is not an object")
    return value


def member(value: Any, name: str) -> Any:
    """Expect an object with this member, and return the member."""
    found = table(value, "the content")
    if name not in found:
        raise DocumentError(f"it has no {name}")
    return found[name]


def flag(value: Any, name: str) -> bool:
    """Expect true or false."""
    if not isinstance(value, bool):
        raise DocumentError(f"{name} is neither true nor false")
    return value


_SCALARS: dict[Any, Callable[[Any, str], Any]] = {
    str: text,
    float: number,
    int: whole,
    bool: flag,
    Path: path,
    Any: lambda value, name: value,
}


def read_as(kind: Any, value: Any, name: str) -> Any:
    """Expect a value of the type `kind`, and return it.

    Parameters
    ----------
    kind
        ``str``, ``float``, ``int``, ``bool`` or ``Path``; a dataclass, whose fields with a default may be missing;
        lists, tuples and mappings of these; or one of them or None. Unknown fields of a dataclass are ignored.
    value
        Value from a document.
    name
        Its name in the document, for errors.

    >>> read_as(list[tuple[float, str]], [[1, "a"]], "pairs")
    [(1.0, 'a')]
    """
    if kind in _SCALARS:
        return _SCALARS[kind](value, name)
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, name)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        (other,) = (one for one in arguments if one is not type(None))
        return None if value is None else read_as(other, value, name)
    if origin in (dict, Mapping):
        return {key: read_as(arguments[1], one, key) for key, one in table(value, name).items()}
    if origin is tuple and arguments[-1] is not Ellipsis:
        if not isinstance(value, list) or len(value) != len(arguments):
            raise DocumentError(f"{name} is not a list of {len(arguments)} elements")
        return tuple(read_as(one, part, name) for one, part in zip(arguments, value, strict=True))
    return origin(items(value, name, functools.partial(read_as, arguments[0])))


def _record(kind: Any, value: Any, name: str) -> Any:
    values = table(value, name)
    hints = _hints(kind)
    given = {}
    for one in dataclasses.fields(kind):
        if one.name in values:
            given[one.name] = read_as(hints[one.name], values[one.name], one.name)
        elif one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
            raise DocumentError(f"{name} has no {one.name}")
    return kind(**given)


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)
