"""stdout belongs to results: what plugins and libraries print there goes to stderr, from C too."""

from __future__ import annotations

import os
import sys
from typing import IO, Any

import click

#: Where results are printed; None where stdout is still what it was.
_results: IO[Any] | None = None

_owns_process = False


def own_process() -> None:
    """Say that this process is the command's alone, so that its file descriptors may be changed."""
    global _owns_process
    _owns_process = True


def echo(message: object = None, *, err: bool = False, nl: bool = True) -> None:
    """Print a result on stdout, or a message on stderr."""
    click.echo(message, file=None if err else _results, err=err, nl=nl)


def reserve_stdout(ctx: click.Context) -> None:
    """Leave stdout to :func:`echo` from now on; whatever else is printed there goes to stderr.

    In a process of its own this holds for the file descriptor, up to the end. Elsewhere, as in tests, for
    ``sys.stdout``, up to the end of the command.
    """
    global _results
    if _results is not None:
        return
    own = sys.stdout
    if _owns_process and _is_descriptor_1(own):
        own.flush()
        _results = os.fdopen(os.dup(1), "w", encoding=own.encoding, errors=own.errors)
        try:
            os.dup2(2, 1)
        except OSError:  # stderr is closed
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return

    def restore() -> None:
        global _results
        sys.stdout, _results = own, None

    _results, sys.stdout = own, sys.stderr
    ctx.find_root().call_on_close(restore)


def drop_results() -> None:
    """Write no more results: nobody reads them, and Python would complain about that at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, (_results or sys.stdout).fileno())


def _is_descriptor_1(stream: Any) -> bool:
    try:
        return bool(stream.fileno() == 1)
    except (AttributeError, OSError, ValueError):
        return False
