"""Files and folders that appear whole or not at all, and stay.

What is written lies on the disk before it takes its name, and so does the name when the block has ended:
a power cut a moment later loses nothing. No order of errors loses what was there before, see :mod:`allin1_core.io.replacing`.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from allin1_core.errors import OutputError
from allin1_core.io.leftovers import Part, exists, flush_folder, new_file
from allin1_core.io.replacing import replace_together, tidy

_FULL = {errno.ENOSPC: "the disk is full"}
if hasattr(errno, "EDQUOT"):
    _FULL[errno.EDQUOT] = "the disk quota is used up"


@contextmanager
def atomic_path(destination: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary file to write, which takes its final name when the block ends well.

    It lies in the destination's folder, so that the renaming never crosses file systems, and has the
    permissions of any newly made file. Parents are made. Whatever ends the block early, an interrupt
    included, removes it, and the folders made for it, and leaves the destination as it was.

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
    with atomic_files(target.parent, [target.name]) as new:
        yield new(target.name)


@contextmanager
def atomic_files(
    folder: str | os.PathLike[str], names: Sequence[str]
) -> Iterator[Callable[[str], Path]]:
    """Replace the files called `names` in `folder` by those that are written in the block, together.

    Those that are not written there are removed: the earlier ones would not belong to the new ones. All else is as for
    :func:`atomic_path`.

    Parameters
    ----------
    folder
        Where they lie; made where it is missing.
    names
        All files that belong together, the main one last. It must be written.

    Yields
    ------
    new
        Takes one of the names, and gives a temporary file to write.

    Raises
    ------
    OutputError
        As :func:`atomic_path` does; it names the main file.
    """
    folder = Path(folder)
    written: dict[str, Part] = {}
    made: list[Path] = []
    tidy(folder)
    with telling(folder / names[-1]), ExitStack() as stack:
        stack.callback(remove_empty, made)
        make_folders(folder, made)

        def new(name: str) -> Path:
            with telling(folder / name):
                part = new_file(folder / name)
            stack.callback(part.discard)
            written[name] = part
            return part.path

        yield new
        for part in written.values():
            part.flush()
        flush_made(made)
        replace_together(
            [(written[name], folder / name) for name in names if name in written],
            [folder / name for name in names if name not in written],
        )
        made.clear()


def make_folders(folder: Path, made: list[Path]) -> None:
    """Make `folder` and its parents, and put those that were not there in front of `made`, the innermost first."""
    missing = []
    while not folder.is_dir() and folder != folder.parent:
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        with suppress(FileExistsError):
            one.mkdir()
            made.insert(0, one)


def remove_empty(made: Sequence[Path]) -> None:
    """Take folders away again that :func:`make_folders` made, if nothing is in them. Never raises an OSError."""
    for one in made:
        with suppress(OSError):
            one.rmdir()


def flush_made(made: Sequence[Path]) -> None:
    """Bring the names of new folders to the disk."""
    for folder in made:
        flush_folder(folder.parent)


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Turn an OSError into an :class:`~allin1_core.errors.OutputError` about `path`."""
    try:
        yield
    except OSError as error:
        raise write_error(error, path) from error


def write_error(
    error: OSError, path: Path, what: str = "cannot be written", option: str = ""
) -> OutputError:
    """Say that `path` cannot be written, why, and what to do.

    Parameters
    ----------
    error
        What the system raised.
    path
        The destination.
    what
        Beginning of the sentence.
    option
        Option of the command line that names another folder, if there is one.
    """
    other = f" ({option})" if option else ""
    remedy = f"Check the permissions of its folder, or name another folder{other}."
    if error.errno in _FULL:
        remedy = f"Free some space, or name a folder on another disk{other}."
    return OutputError(f"{what}: {reason_of(error)}.", remedy=remedy, path=path)


def is_full(error: OutputError) -> bool:
    """Whether something could not be written because there is no space left."""
    return getattr(error.__cause__, "errno", None) in _FULL


def reason_of(error: OSError) -> str:
    """Why something cannot be written, as the end of a sentence; a full disk is said in those words."""
    reason = str(error.strerror or error).rstrip(".")
    full = _FULL.get(error.errno or 0)
    return f"{full} ({reason})" if full else reason


def free_bytes(path: Path) -> float:
    """Free space on the disk that `path` would lie on; infinite where the system does not tell."""
    with suppress(OSError, ValueError):
        found = shutil.disk_usage(existing_folder(path))
        if found.total:  # 0 of some network file systems, and of what is no disk, such as /proc
            return found.free
    return float("inf")


def existing_folder(path: Path) -> Path:
    """Give the innermost folder that exists of those that `path` would lie in."""
    for parent in path.absolute().parents:
        if os.path.lexists(parent):
            return parent
    return Path(path.absolute().anchor)


def check_folder(folder: Path, space: int) -> None:
    """Find out whether files could be written to `folder`, without making it.

    Parameters
    ----------
    folder
        There, or to be made.
    space
        Bytes that will be needed.

    Raises
    ------
    OutputError
        They could not.
    """
    with telling(folder):
        inside = existing_folder(folder / "file")
        is_folder = inside.is_dir()
    reason = ""
    if not is_folder:
        reason = f"cannot be made: {inside} is no folder"
        if inside == folder.absolute():
            reason = "is no folder"
    elif not os.access(inside, os.W_OK | os.X_OK):
        reason = "cannot be written to"
    if reason:
        raise OutputError(
            f"{reason}.",
            remedy="Change its permissions, or name another folder."
            if is_folder
            else "Name another folder.",
            path=folder,
        )
    free = free_bytes(folder / "file")
    if free == float("inf"):
        _check_by_trying(inside, folder)
    if free < space:
        raise OutputError(
            f"cannot be written to: the disk is full ({free / 1e6:.1f} MB free, {space / 1e6:.1f} MB needed).",
            remedy="Free some space, or name a folder on another disk.",
            path=folder,
        )


def _check_by_trying(inside: Path, folder: Path) -> None:
    """Raise unless a file can be made in `inside`, where `folder` would lie: /proc takes none, whatever it permits."""
    try:
        new_file(inside / "allin1").discard()
    except OSError as error:
        raise OutputError(
            f"cannot be written to: no file can be made in {inside} ({reason_of(error)}).",
            remedy="Name another folder.",
            path=folder,
        ) from error


def refuse_to_replace(path: Path, *, overwrite: bool = False) -> None:
    """Raise :class:`~allin1_core.errors.OutputError` if `path` exists and `overwrite` is not set."""
    with telling(path):
        is_taken = exists(path)
    if is_taken and not overwrite:
        raise OutputError(
            "exists already.",
            remedy="Allow overwriting (--overwrite; overwrite=True in Python), or name another folder.",
            path=path,
        )
