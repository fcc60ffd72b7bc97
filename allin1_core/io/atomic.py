"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from allin1_core.errors import OutputError


@contextmanager
def atomic_path(destination: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary file to write, which takes its final name when the block ends well.

    It lies in the destination's folder, so that the renaming never crosses file systems, and has the
    permissions of any newly made file. Parents are made. Whatever ends the block early, an interrupt
    included, removes it and leaves the destination as it was.

    Parameters
    ----------
    destination
        The final name; a file that is there is replaced.

    Yields
    ------
    Path
        An empty file to write. Its name ends in ``.part``: tell a library that goes by the extension
        which format is meant.

    Raises
    ------
    OutputError
        For any OSError while preparing, in the block, or while renaming: the disk is full, writing is not
        permitted, the name is too long.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_path(folder / "new" / "notes.txt") as path:
    ...     _ = path.write_text("done")
    >>> [file.name for file in (folder / "new").iterdir()]
    ['notes.txt']
    """
    target = Path(destination)
    # Part of the final name tells people what a file left by a power cut was; all of it could make a
    # name that just fits too long.
    temporary = target.parent / f".{target.name[:30]}-{secrets.token_hex(6)}.part"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise OutputError(
            f"cannot be written: {error.strerror or error}.",
            remedy="Check the free space and the permissions of its folder, or name another folder.",
            path=target,
        ) from error
    finally:
        # Gone already when all went well; and when it cannot be removed, the first error matters more.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def refuse_to_replace(path: Path, *, overwrite: bool = False) -> None:
    """Raise :class:`~allin1_core.errors.OutputError` if `path` exists and `overwrite` is not set."""
    if path.exists() and not overwrite:
        raise OutputError(
            "exists already.",
            remedy="Allow overwriting (--overwrite), or name another folder.",
            path=path,
        )
