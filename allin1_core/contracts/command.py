"""Commands that plugins add to ``allin1``."""

from __future__ import annotations

from dataclasses import dataclass, field

from allin1_core.contracts.backend import Needs
from allin1_core.contracts.rules import Line, Name, Target


@dataclass(frozen=True)
class Command:
    """Declares a command of ``allin1``. Its code is only imported when it runs.

    Attributes
    ----------
    name
        Name of the command: ``allin1 NAME``. Letters and digits, in groups joined by single hyphens. It must not be the
        name of a command of the core.
    target
        ``"package.module:command"``, a :class:`click.Command` or :class:`click.Group`.
    summary
        One line for ``allin1 --help``.
    needs
        What must be installed.
    """

    name: Name
    target: Target
    summary: Line
    needs: Needs = field(default_factory=Needs)
