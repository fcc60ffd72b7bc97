"""Checks arguments of public functions against their annotations.

This is less strict than the check of records of plugins (:mod:`allin1_core.contracts.rules`): NumPy numbers are accepted as
numbers, and lists as tuples.
"""

from __future__ import annotations

import dataclasses
import numbers
import os
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, Union

from allin1_core.contracts.rules import show

_WORDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    type(None): "None",
    os.PathLike: "a path",
    Mapping: "a dict",
    Callable: "a function",
    tuple: "a tuple",
}


def check_arguments(
    function: str, given: Mapping[str, object], kinds: type[Any] | Mapping[str, Any]
) -> None:
    """Raise TypeError for the first argument that has the wrong type, or that does not exist.

    Parameters
    ----------
    function
        Name of the function.
    given
        Arguments by name.
    kinds
        Their annotations, by name, or a class with these annotations.

    Examples
    --------
    >>> check_arguments("f", {"jobs": "2"}, {"jobs": int | None})
    Traceback (most recent call last):
    TypeError: f(): jobs is '2'; wanted a whole number or None.
    >>> check_arguments("f", {"job": 2}, {"jobs": int})
    Traceback (most recent call last):
    TypeError: f() has no option job
    """
    hints = typing.get_type_hints(kinds) if isinstance(kinds, type) else kinds
    unknown = sorted(given.keys() - hints.keys())
    if unknown:
        raise TypeError(f"{function}() has no option {', '.join(unknown)}")
    for name, value in given.items():
        for path, wrong, wanted in _faults(value, hints[name], name):
            raise TypeError(f"{function}(): {path} is {show(wrong)}; wanted {wanted}.")


def _faults(value: Any, hint: Any, path: str) -> Iterator[tuple[str, object, str]]:
    """The parts of `value` that do not match `hint`: path, value, and what was wanted."""
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is Annotated:
        yield from _faults(value, arguments[0], path)
    elif origin in (Union, types.UnionType):
        each = [list(_faults(value, argument, path)) for argument in arguments]
        if all(each):
            # A fault inside a value of the right type is more informative than the list of types.
            deeper = [fault for faults in each for fault in faults if fault[0] != path]
            yield from deeper or [(path, value, _words(hint))]
    elif not _is_of(value, origin, arguments):
        yield path, value, _words(hint)
    elif origin is tuple:
        for index, item in enumerate(value):
            yield from _faults(item, arguments[0], f"{path}[{index}]")
    elif origin is Mapping and arguments:
        for key, item in value.items():
            yield from _faults(item, arguments[1], f"{path}[{show(key)}]")
    elif dataclasses.is_dataclass(origin):
        hints = typing.get_type_hints(origin)
        for field in dataclasses.fields(origin):
            yield from _faults(
                getattr(value, field.name), hints[field.name], f"{path}.{field.name}"
            )


def _is_of(value: object, kind: Any, arguments: tuple[Any, ...]) -> bool:
    if kind is Any:
        return True
    if kind is Literal:
        return isinstance(value, str) and value in arguments
    if kind is bool:
        is_numpys = type(value).__name__ in ("bool", "bool_")
        return is_numpys or (isinstance(value, int) and value in (0, 1))
    if kind is int:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, numbers.Real) and not isinstance(value, bool)
    if kind is tuple:
        return isinstance(value, (tuple, list))
    return isinstance(value, kind)


def _words(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is Annotated:
        return _words(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(argument) for argument in arguments))
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    return _WORDS.get(origin) or f"a {origin.__name__}"
