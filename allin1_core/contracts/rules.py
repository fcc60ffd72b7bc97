"""Rules for the fields of records, and the check of a record against them.

Plugins provide records that may never have been type-checked. Values are checked against the annotations of the fields;
where a type is not specific enough, :data:`typing.Annotated` adds a :class:`Rule`::

    name: Name  # Annotated[str, Rule(...)]
"""

from __future__ import annotations

import dataclasses
import math
import re
import reprlib
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

from allin1_core.errors import PLUGIN_FAILURES

#: Words with a special meaning, which cannot be names.
RESERVED = ("auto",)

#: Endings of the names of a result's files, which ``io.results`` writes.
RESULT_SUFFIXES = (".json", ".activ.npz", ".embed.npy")

_NAME = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*")
_VERSION = re.compile(r"[A-Za-z0-9]+([.-][A-Za-z0-9]+)*")
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "True or False"}


@dataclass(frozen=True)
class Rule:
    """A condition on a value in addition to its type.

    Attributes
    ----------
    holds
        Returns whether a value of the right type is accepted; an exception means that it is not.
    wanted
        What is accepted, to be inserted after "wanted".
    """

    holds: Callable[[Any], object]
    wanted: str


def is_name(text: str) -> bool:
    """Whether `text` is a valid name of a record: ``torch-cpu``, but neither ``auto`` nor ``torch_cpu``."""
    return _NAME.fullmatch(text) is not None and text not in RESERVED


def _is_model_name(text: str) -> bool:
    name, at, version = text.partition("@")
    return is_name(name) and (not at or _VERSION.fullmatch(version) is not None)


def _is_module(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _is_target(text: str) -> bool:
    module, _, name = text.partition(":")
    return name.isidentifier() and _is_module(module)


def _is_requirement(text: str) -> bool:
    from packaging.requirements import Requirement

    requirement = Requirement(text)
    if requirement.marker is not None:
        requirement.marker.evaluate()
    return True


Name = Annotated[
    str,
    Rule(
        is_name,
        f"letters and digits, in groups joined by single hyphens, and not {' or '.join(RESERVED)}",
    ),
]
ModelName = Annotated[
    str,
    Rule(_is_model_name, "a name like that of a backend, optionally with a version: name@1.0"),
]
Text = Annotated[str, Rule(str.strip, "text that is not empty")]
Line = Annotated[str, Rule(str.isprintable, "printable text on one line")]
Word = Annotated[str, Rule(re.compile(r"[\w.:-]+").fullmatch, "a word")]
Identifier = Annotated[str, Rule(str.isidentifier, "a valid name of a Python variable")]
Module = Annotated[str, Rule(_is_module, "the import name of a module or package")]
Target = Annotated[str, Rule(_is_target, "'package.module:name'")]
Requirement = Annotated[str, Rule(_is_requirement, "a requirement in pip's syntax")]
Suffix = Annotated[
    str, Rule(re.compile(r"(\.[A-Za-z0-9]+)+").fullmatch, "a suffix of files such as '.beats.csv'")
]
ExportSuffix = Annotated[
    Suffix,
    Rule(
        lambda suffix: not suffix.lower().endswith(RESULT_SUFFIXES),
        f"a suffix other than those of the files of results, {', '.join(RESULT_SUFFIXES)}",
    ),
]
FileName = Annotated[
    str, Rule(re.compile(r"(?!\.)[^/\\:\0]+").fullmatch, "the name of a file, without a folder")
]
Digest = Annotated[str, Rule(re.compile(r"[0-9a-f]{64}").fullmatch, "64 hexadecimal digits")]
OptionalDigest = Annotated[
    str,
    Rule(re.compile(r"(?:[0-9a-f]{64})?").fullmatch, "64 hexadecimal digits, or nothing"),
]
Labels = Annotated[
    tuple[Line, ...],
    Rule(
        lambda labels: labels and all(map(str.strip, labels)) and len({*labels}) == len(labels),
        "a tuple of one or more different labels",
    ),
]
Amount = Annotated[float, Rule(lambda number: 0 <= number < math.inf, "a finite number, 0 or more")]
Bound = Annotated[float, Rule(lambda number: number >= 0, "a number, 0 or more")]
Rate = Annotated[float, Rule(lambda number: number > 0, "a number above 0")]
Outputs = Annotated[
    tuple[str, ...],
    Rule(
        lambda names: names and {"beats", "sections"}.issuperset(names),
        "a tuple of beats, sections or both",
    ),
]
Share = Annotated[float, Rule(lambda number: 0 <= number <= 1, "a number from 0 to 1")]
Count = Annotated[int, Rule(lambda number: number >= 1, "a whole number, 1 or more")]
Size = Annotated[int, Rule(lambda number: number >= 0, "a whole number, 0 or more")]


def find_fault(record: object, kind: type[Any]) -> str | None:
    """Describe the first field of `record` that violates the declaration in the dataclass `kind`, and what was wanted.

    >>> from allin1_core.contracts.speed import Speed
    >>> find_fault(Speed("cpu", 0.1, -1.0, "a laptop"), Speed)
    'Speed: rate is -1.0; wanted a finite number, 0 or more.'
    >>> find_fault("fast", Speed)
    "'fast' is not a Speed."
    >>> find_fault(Speed("cpu", 0.1, 0.2, "a laptop"), Speed)

    Returns
    -------
    str or None
        A sentence; None if nothing is wrong.
    """
    fault = next(_faults(record, kind, ""), None)
    if fault is None:
        return None
    path, value, wanted = fault
    if not path:
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        return f"{show(value)} is not {article} {kind.__name__}."
    name = _get(record, "name") if "name" in _hints(kind) else None
    of = f" {name}" if isinstance(name, str) and name and name.isprintable() else ""
    return f"{kind.__name__}{of}: {path} is {show(value)}; wanted {wanted}."


def show(value: object) -> str:
    """Convert a value to short text on one line, whatever its ``repr`` does.

    >>> show("x" * 100)
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxx...xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'"
    """
    if value is dataclasses.MISSING:
        return "missing"
    try:
        text = _short.repr(value)
    except PLUGIN_FAILURES:
        text = f"<{type(value).__name__}>"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


_short = reprlib.Repr()
_short.maxstring = _short.maxother = 64


_known_hints: dict[type[Any], dict[str, Any]] = {}


def _hints(kind: type[Any]) -> dict[str, Any]:
    """Fields of a dataclass and their annotations, cached."""
    if kind not in _known_hints:
        hints = typing.get_type_hints(kind, include_extras=True)
        _known_hints[kind] = {f.name: hints[f.name] for f in dataclasses.fields(kind)}
    return _known_hints[kind]


def _faults(value: Any, hint: Any, path: str) -> Iterator[tuple[str, object, str]]:
    """Yield where `value` violates `hint`: the path, the value there, and what was wanted."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        faults = list(_faults(value, arguments[0], path))
        if not faults and all(_holds(rule, value) for rule in arguments[1:]):
            return
        inside = [fault for fault in faults if fault[0] != path]
        yield from inside or [(path, value, _words(hint))]
    elif origin in (Union, types.UnionType):
        each = [list(_faults(value, argument, path)) for argument in arguments]
        if all(each):
            # A fault inside a value of the right type is more informative than a list of possible types.
            deeper = [fault for faults in each for fault in faults if fault[0] != path]
            yield from deeper or [(path, value, _words(hint))]
    elif origin is tuple:
        if not isinstance(value, tuple):
            yield path, value, _words(hint)
            return
        for index, item in enumerate(value):
            yield from _faults(item, arguments[0], f"{path}[{index}]")
    elif origin is type:
        if value is not arguments[0]:
            yield path, value, _words(hint)
    elif origin is Literal:
        if not (isinstance(value, str) and value in arguments):
            yield path, value, _words(hint)
    elif not _is_of(value, hint):
        yield path, value, _words(hint)
    elif isinstance(hint, type) and dataclasses.is_dataclass(hint):
        for name, of_field in _hints(hint).items():
            inner = f"{path}.{name}" if path else name
            yield from _faults(_get(value, name), of_field, inner)


def _get(record: object, name: str) -> object:
    try:
        return getattr(record, name)
    except PLUGIN_FAILURES:
        return dataclasses.MISSING


def _is_of(value: object, kind: type[Any]) -> bool:
    if kind is float:
        return isinstance(value, float) or _is_of(value, int)
    if kind is int:
        # Larger numbers cannot be added to a float.
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    if kind is str:
        return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)
    # A record is plain data: the fields of a subclass could be computed in any way.
    return type(value) is kind if dataclasses.is_dataclass(kind) else isinstance(value, kind)


def _holds(rule: Rule, value: object) -> bool:
    try:
        return bool(rule.holds(value))
    except PLUGIN_FAILURES:
        return False


def _words(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return " and ".join(rule.wanted for rule in arguments[1:])
    if origin in (Union, types.UnionType):
        return " or ".join(_words(argument) for argument in arguments)
    if origin is tuple:
        return f"a tuple, each item {_words(arguments[0])}"
    if origin is type:
        return str(arguments[0].__name__)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if hint is type(None):
        return "None"
    return _WORDS.get(hint) or f"a {hint.__name__}"
