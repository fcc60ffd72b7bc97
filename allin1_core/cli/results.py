"""Commands that write one file per result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from allin1_core.cli.failures import Failures
from allin1_core.cli.parameters import result_files
from allin1_core.cli.printing import say


def make_files(
    ctx: click.Context,
    results: tuple[Path, ...],
    file_of: Callable[[Path], Path],
    write: Callable[[Path, Path], None],
    *,
    overwrite: bool,
) -> None:
    """Write one file per result and print its path; failures are reported, and the others are still written.

    Ends the command with the exit status of the errors. With ``--traceback``, the first error is raised instead.

    Parameters
    ----------
    ctx
        Context of the command.
    results
        Paths of results, and of folders with results.
    file_of
        Returns the file to write for a result. They must be distinct, and none may be a result.
    write
        Writes the file: called with the path of a result and that of its file.
    overwrite
        Whether existing files are replaced.
    """
    from allin1_core.io.atomic import refuse_to_replace
    from allin1_core.runtime.exporting import check_files

    failures = Failures(ctx)
    paths = list(dict.fromkeys(result_files(results, failures.report)))
    # Existing files are reported below, each for its own result.
    check_files([file_of(path) for path in paths], paths, overwrite=True)

    for path in paths:
        file = file_of(path)
        with failures.reporting():
            refuse_to_replace(file, overwrite=overwrite)
            write(path, file)
            say(file)
    ctx.exit(failures.exit_status)
