"""Commands that do the same with each of several results."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from allin1_core.cli.printing import say_error
from allin1_core.errors import Allin1Error


def for_each(paths: Iterable[Path], do: Callable[[Path], None], *, traceback: bool = False) -> int:
    """Call `do` with each path, print the error of each that fails, and give the exit status.

    Parameters
    ----------
    paths
        Files of results.
    do
        What is done with one.
    traceback
        Raise the first error instead.

    Returns
    -------
    int
        0 if none failed; the status of the errors where they are of one kind, else 1.
    """

    def status(path: Path) -> int:
        try:
            do(path)
        except Allin1Error as error:
            if traceback:
                raise
            say_error(error)
            return error.exit_code
        return 0

    codes = {status(path) for path in paths} - {0}
    return codes.pop() if len(codes) == 1 else int(bool(codes))
