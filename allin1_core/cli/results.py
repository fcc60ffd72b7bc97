"""Commands that make a file of each of several results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from allin1_core.cli.parameters import result_files
from allin1_core.cli.printing import say, say_error, status_of_errors
from allin1_core.errors import Allin1Error


def make_files(
    ctx: click.Context,
    results: tuple[Path, ...],
    file_of: Callable[[Path], Path],
    write: Callable[[Path, Path], None],
    *,
    overwrite: bool,
) -> None:
    """Make a file of each result and print its path; one that fails is told of, and the others are made.

    Ends the command, with the status of the errors. ``--traceback`` raises the first instead.

    Parameters
    ----------
    ctx
        Of the command.
    results
        Results, and folders of them.
    file_of
        Which file is made of a result. No two may be the same, and none a result.
    write
        Makes it: of this result, this file.
    overwrite
        Whether files that exist are replaced.
    """
    from allin1_core.io.atomic import refuse_to_replace
    from allin1_core.runtime.exporting import check_files

    paths = list(dict.fromkeys(result_files(results)))
    # What exists is an error of its result alone.
    check_files([file_of(path) for path in paths], paths, overwrite=True)

    def status(path: Path) -> int:
        file = file_of(path)
        try:
            refuse_to_replace(file, overwrite=overwrite)
            write(path, file)
        except Allin1Error as error:
            if ctx.find_root().obj["traceback"]:
                raise
            say_error(error)
            return error.exit_code
        say(file)
        return 0

    ctx.exit(status_of_errors({status(path) for path in paths} - {0}))
