"""JSON and TOML files that anybody may have written: read with limits, and refused in one way.

What the parsers do with a hostile file (infinite numbers, nesting without end, a pipe in the place of a
file) is caught here, so that a reader has one exception to turn into its own.
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

#: Most bytes of a document; the longest result has a few hundred thousand.
MOST_BYTES = 64 * 2**20

#: Most bytes of a configuration file. What parses them takes a time that grows as the square of a key's length.
MOST_TOML_BYTES = 64 * 2**10

#: Deepest nesting; results have six levels.
MOST_LEVELS = 50


class DocumentError(ValueError):
    """A document cannot be understood; the text says why, as the end of a sentence."""


def read_json(path: Path) -> Any:
    """Read a JSON document.

    Raises
    ------
    OSError
        It cannot be read.
    DocumentError
        It is not JSON in UTF-8, not one document, or holds what no reader here has a use for: numbers that are not
        finite, more than 50 levels.
    """
    return _read(path, lambda text: json.loads(text, parse_constant=_refuse_constant), MOST_BYTES)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML document; as :func:`read_json`."""
    content: dict[str, Any] = _read(path, tomllib.loads, MOST_TOML_BYTES)
    return content


def _read(path: Path, parse: Callable[[str], Any], most: int) -> Any:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DocumentError("it is no file")
        with path.open("rb") as file:
            raw = file.read(most + 1)
        if len(raw) > most:
            raise DocumentError(f"it has more than {most} bytes")
        content = parse(raw.decode("utf-8"))
    except (DocumentError, OSError):
        raise
    except RecursionError as error:
        raise DocumentError("it is nested too deeply") from error
    except (ValueError, OverflowError, MemoryError) as error:
        # Of several lines the first says what is wrong.
        raise DocumentError((str(error).splitlines() or ["it is damaged"])[0]) from error
    _check(content)
    return content


def _refuse_constant(name: str) -> Any:
    raise DocumentError(f"it holds {name}, which is not JSON")


def _check(content: Any) -> None:
    """Refuse what would fail later, where nobody expects it."""
    level = [content]
    for _ in range(MOST_LEVELS):
        values: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                values += one.values()
            elif isinstance(one, list):
                values += one
            elif isinstance(one, float) and not math.isfinite(one):
                raise DocumentError("it holds a number that is not finite")
        if not values:
            return
        level = values
    raise DocumentError("it is nested too deeply")


# What a value must be. Each gives it, or raises DocumentError with the name it is called by.


def text(value: Any, name: str) -> str:
    """Expect a string."""
    if not isinstance(value, str):
        raise DocumentError(f"{name} is no text")
    return value


def path(value: Any, name: str) -> Path:
    """Expect a string that can name a file."""
    found = text(value, name)
    try:
        os.fsencode(found)
    except UnicodeEncodeError as error:
        raise DocumentError(f"{name} holds half of a character") from error
    if "\0" in found:
        raise DocumentError(f"{name} holds a NUL character")
    return Path(found)


def number(value: Any, name: str) -> float:
    """Expect a finite number; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DocumentError(f"{name} is no number")
    try:
        return float(value)
    except OverflowError as error:
        raise DocumentError(f"{name} is out of range") from error


def whole(value: Any, name: str) -> int:
    """Expect a whole number that fits into 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise DocumentError(f"{name} is no whole number")
    if not -(2**63) <= value < 2**63:
        raise DocumentError(f"{name} is out of range")
    return value


def items(value: Any, name: str, convert: Callable[[Any, str], T]) -> list[T]:
    """Expect a list of what `convert` expects."""
    if not isinstance(value, list):
        raise DocumentError(f"{name} is no list")
    return [convert(one, name) for one in value]


def table(value: Any, name: str) -> dict[str, Any]:
    """Expect an object with named members."""
    if not isinstance(value, dict):
        raise DocumentError(f"{name} is no object")
    return value


def member(value: Any, name: str) -> Any:
    """Expect an object that has this member, and give that."""
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
    """Expect what a type hint says, and give that.

    Parameters
    ----------
    kind
        ``str``, ``float``, ``int``, ``bool`` or ``Path``; a dataclass, of whose fields those with a default may be missing;
        lists, tuples and mappings of such; or one of them or None. What a dataclass does not know is passed over.
    value
        Of a document.
    name
        What it is called there.

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
            raise DocumentError(f"{name} is no list of {len(arguments)}")
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
