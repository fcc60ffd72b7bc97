"""Options that plugins declare, and that users may set."""

from __future__ import annotations

import math
from dataclasses import dataclass

from allin1_core.contracts.rules import Identifier, Line, show

#: Values that an option can have.
OptionValue = str | int | float | bool | None

_BOOLS = {"true": True, "yes": True, "on": True, "1": True}
_BOOLS |= {"false": False, "no": False, "off": False, "0": False}
_WANTED = {str: "text", int: "a whole number", float: "a finite number", bool: "true or false"}


@dataclass(frozen=True)
class Option:
    """An option that a backend or an executor declares.

    Users set it with ``-O plugin.name=value``, in the table ``[plugins.plugin]`` of the configuration file, or with
    an argument of a session. The factory of the backend finds its value in ``Setup.options``.

    Attributes
    ----------
    name
        A valid name of a Python variable. Backends of a plugin may share an option, which must then have a single type.
    type
        ``str``, ``int``, ``float`` or ``bool``.
    default
        Value if the user sets none: of this type, or None.
    help
        One line for a table.
    """

    name: Identifier
    type: type[str] | type[int] | type[float] | type[bool]
    default: OptionValue = None
    help: Line = ""

    @property
    def has_valid_default(self) -> bool:
        """Whether the default is of the option's type, or None."""
        if self.default is None:
            return True
        try:
            return isinstance(self.default, str) == (self.type is str) and self.value is not None
        except ValueError:
            return False

    @property
    def value(self) -> OptionValue:
        """The default, converted to the option's type."""
        return None if self.default is None else self.read(self.default)

    def read(self, value: object) -> OptionValue:
        """Convert `value` to the option's type; text is parsed as on the command line.

        >>> Option("batch", int).read("8")
        8
        >>> Option("fused", bool).read("off")
        False

        Raises
        ------
        ValueError
            The value is invalid. The message states what was wanted.
        """
        found: OptionValue = None
        if isinstance(value, str):
            found = self._from_text(value)
        elif isinstance(value, self.type) and isinstance(value, bool) == (self.type is bool):
            found = value
        elif self.type is float and isinstance(value, int) and not isinstance(value, bool):
            found = float(value)
        if found is None or (isinstance(found, float) and not math.isfinite(found)):
            raise ValueError(f"{self.name} is {show(value)}; wanted {_WANTED[self.type]}.")
        return found

    def _from_text(self, text: str) -> OptionValue:
        if self.type is str:
            return text
        if self.type is bool:
            return _BOOLS.get(text.strip().lower())
        try:
            return self.type(text)
        except ValueError:
            return None
