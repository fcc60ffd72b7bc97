"""Text from outside the program, such as file names, made safe to display on a terminal."""

from __future__ import annotations

from collections.abc import Iterable

#: Not printable according to Python, but harmless: the joiners of emoji and of several scripts.
_HARMLESS = frozenset("\u200c\u200d")

_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\a": "\\a", "\b": "\\b"}


def shown(text: object, *, keep: str = "") -> str:
    r"""Escape characters that control a terminal, break a line, or reorder text.

    These are control characters, line and paragraph separators, bidirectional overrides and other invisible format
    characters, unassigned characters, and bytes of a file name that are invalid in its encoding.

    Parameters
    ----------
    text
        Any object; it is converted to a string.
    keep
        Characters that are not escaped, such as a newline.

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
    """Suggest the word in `known` that is most similar to `word`, followed by a space; empty if none is similar.

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
