"""Text that comes from outside, such as names of files, made safe to show on a terminal."""

from __future__ import annotations

from collections.abc import Iterable

#: Not printable to Python, but they move nothing: the joiners of emoji and of several scripts.
_HARMLESS = frozenset("\u200c\u200d")

_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\a": "\\a", "\b": "\\b"}


def shown(text: object, *, keep: str = "") -> str:
    r"""Escape what would control a terminal, break a line, or reorder what is read.

    That is control characters, line and paragraph separators, bidirectional overrides and other invisible format
    characters, unassigned characters, and bytes of a file name that are not valid in its encoding.

    Parameters
    ----------
    text
        Anything with a string form.
    keep
        Characters to leave as they are, such as a newline.

    >>> shown("a\nb\x1b]0;title\a")
    'a\\nb\\x1b]0;title\\a'
    >>> shown("caf\udce9.wav \u202egnp")
    'caf\\xe9.wav \\u202egnp'
    """
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(c if c.isprintable() or c in keep else _escaped(c) for c in plain)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Ask for the one of `known` that is most like `word`, with a space behind; nothing where none is.

    >>> did_you_mean("treads", ["parity", "threads"])
    'Did you mean threads? '
    """
    import difflib

    near = difflib.get_close_matches(word, list(known), 1)
    return f"Did you mean {near[0]}? " if near else ""


def _escaped(character: str) -> str:
    code = ord(character)
    if character in _HARMLESS or (
        character.isspace() and code >= 0xA0 and code not in (0x2028, 0x2029)
    ):
        return character
    if character in _ESCAPES:
        return _ESCAPES[character]
    if 0xDC80 <= code <= 0xDCFF:  # a byte that could not be decoded
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
