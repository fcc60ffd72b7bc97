"""Atomic and durable writes of files and folders.

Data is flushed to the disk before it gets its final name, and so is the name before the block ends: a power failure right
after it loses nothing. No combination of errors loses the previous files, see :mod:`allin1_core.io.replacing`.
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
    """Yield a temporary file to write, which gets its final name when the block succeeds.

    It is in the folder of the destination, so that renaming never crosses file systems, and has the permissions
    of any new file. Parent folders are created. If the block fails or is interrupted, the file and the folders
    created for it are removed, and the destination is unchanged.

    Parameters
    ----------
    destination
        The final name; an existing file is replaced.

    Yields
    ------
    Path
        An empty file to write. Its name ends in ``.part``, so libraries that infer the format from the
        extension must be given it explicitly.

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
    """Replace the files called `names` in `folder` together, by those that are written in the block.

    Existing files that are not written in the block are removed, as they would not belong to the new ones. Otherwise
    like :func:`atomic_path`.

    Parameters
    ----------
    folder
        Their folder; created if it is missing.
    names
        All files that belong together, the main one last. It must be written.

    Yields
    ------
    new
        Function that takes one of the names, and returns a temporary file to write.

    Raises
    ------
    OutputError
        As for :func:`atomic_path`; it names the main file.
    """
    folder = Path(folder)
    written: dict[str, Part] = {}
    made: list[Path] = []
    tidy(folder)
    with output_errors(folder / names[-1]), ExitStack() as stack:
        stack.callback(remove_empty, made)
        make_folders(folder, made)

        def new(name: str) -> Path:
            with output_errors(folder / name):
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
    """Create `folder` and its parents, and insert those that were missing at the front of `made`, innermost first."""
    missing = []
    while not folder.is_dir() and folder != folder.parent:
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        with suppress(FileExistsError):
            one.mkdir()
            made.insert(0, one)


def remove_empty(made: Sequence[Path]) -> None:
    """Remove those of the folders created by :func:`make_folders` that are empty. Never raises an OSError."""
    for one in made:
        with suppress(OSError):
            one.rmdir()


def flush_made(made: Sequence[Path]) -> None:
    """Flush the names of new folders to the disk."""
    for folder in made:
        flush_folder(folder.parent)


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn an OSError into an :class:`~allin1_core.errors.OutputError` about `path`."""
    try:
        yield
    except OSError as error:
        raise write_error(error, path) from error


def write_error(
    error: OSError, path: Path, what: str = "cannot be written", option: str = ""
) -> OutputError:
    """Create an error which says that `path` cannot be written, why, and what to do.

    Parameters
    ----------
    error
        The original error.
    path
        The destination.
    what
        Start of the sentence.
    option
        Command-line option to choose another folder, if there is one.
    """
    other = f" ({option})" if option else ""
    remedy = f"Check the permissions of its folder, or name another folder{other}."
    if error.errno in _FULL:
        remedy = f"Free some space, or name a folder on another disk{other}."
    return OutputError(f"{what}: {reason_of(error)}.", remedy=remedy, path=path)


def is_full(error: OutputError) -> bool:
    """Whether a write failed because there is no space left."""
    return getattr(error.__cause__, "errno", None) in _FULL


def reason_of(error: OSError) -> str:
    """The reason why something cannot be written, as the end of a sentence; a full disk is called that."""
    reason = str(error.strerror or error).rstrip(".")
    full = _FULL.get(error.errno or 0)
    return f"{full} ({reason})" if full else reason


def free_bytes(path: Path) -> float:
    """Free bytes on the disk of `path`, which need not exist; infinite if the system does not report it."""
    with suppress(OSError, ValueError):
        found = shutil.disk_usage(existing_folder(path))
        if found.total:  # 0 for some network file systems, and for /proc
            return found.free
    return float("inf")


def existing_folder(path: Path) -> Path:
    """Return the innermost existing folder above `path`."""
    for parent in path.absolute().parents:
        if os.path.lexists(parent):
            return parent
    return Path(path.absolute().anchor)


def check_folder(folder: Path, space: int) -> None:
    """Check whether files can be written to `folder`, without creating it.

    Parameters
    ----------
    folder
        The folder; it need not exist.
    space
        Number of bytes that will be needed.

    Raises
    ------
    OutputError
        They cannot.
    """
    with output_errors(folder):
        inside = existing_folder(folder / "file")
        is_folder = inside.is_dir()
    reason = ""
    if not is_folder:
        reason = f"cannot be created: {inside} is not a folder"
        if inside == folder.absolute():
            reason = "is not a folder"
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
    """Raise unless a file can be created in `inside`, the future parent of `folder`: in /proc this fails for root, too."""
    try:
        new_file(inside / "allin1").discard()
    except OSError as error:
        raise OutputError(
            f"cannot be written to: no file can be created in {inside} ({reason_of(error)}).",
            remedy="Name another folder.",
            path=folder,
        ) from error


def refuse_to_replace(
    path: Path,
    *,
    overwrite: bool = False,
    remedy: str = "Allow overwriting (--overwrite; overwrite=True in Python), or name another folder.",
) -> None:
    """Raise :class:`~allin1_core.errors.OutputError` if `path` exists and `overwrite` is not set."""
    with output_errors(path):
        is_taken = exists(path)
    if is_taken and not overwrite:
        raise OutputError(
            "exists already.",
            remedy=remedy,
            path=path,
        )
