"""Sizes in environment variables, such as ``500M`` or ``10G``."""

from __future__ import annotations

import os

from allin1_core.errors import SettingsError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def read_size(variable: str, default: int) -> int:
    """Read a number of bytes from an environment variable; returns `default` if it is not set, or empty.

    Raises
    ------
    SettingsError
        The variable is not a valid size.
    """
    text = os.environ.get(variable, "").strip()
    if not text:
        return default
    number, unit = text.lower().removesuffix("b"), ""
    if number[-1:] in _UNITS and number[-1:]:
        number, unit = number[:-1], number[-1:]
    try:
        size = float(number) * _UNITS[unit]
        if not 0 <= size < float("inf"):
            raise ValueError(text)
    except ValueError:
        raise SettingsError(
            f"{variable} is {text!r}, which is not a size.",
            remedy="Use 500M, 10G or 0, for example.",
        ) from None
    return int(size)
