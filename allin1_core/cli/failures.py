"""Errors of single inputs, after which a command continues with the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from allin1_core.cli.printing import say_error, status_of_errors
from allin1_core.errors import Allin1Error


class Failures:
    """Prints the errors of inputs, and determines the exit status; with ``--traceback``, the first one is raised.

    Parameters
    ----------
    ctx
        Context of the command.
    """

    def __init__(self, ctx: click.Context) -> None:
        self._is_traced = bool(ctx.find_root().obj["traceback"])
        self._codes: set[int] = set()

    def report(self, error: Allin1Error) -> None:
        """Print an error, or raise it."""
        if self._is_traced:
            raise error
        say_error(error)
        self._codes.add(error.exit_code)

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Report an error that is raised in the block, and continue after it."""
        try:
            yield
        except Allin1Error as error:
            self.report(error)

    @property
    def exit_status(self) -> int:
        """0 without errors; the exit status of the errors if they are all of one kind, otherwise 1."""
        return status_of_errors(self._codes)
