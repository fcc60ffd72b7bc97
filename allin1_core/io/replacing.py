"""Files and folders that take the place of earlier ones together: all of them, or none.

No system renames several files at once. So what is replaced is first put into a journal, a hidden folder beside it::

    .song.json~0123456789abcdef.old/was/song.json          a link to the earlier file
    .song.json~0123456789abcdef.old/new/song.activ.npz     (empty) there was none

The new files then take their names, and renaming the journal makes that final. Whatever happens before, an error or
the end of the process, leaves the journal, and with it all that is needed to put the earlier state back: at
once after an error, or when the next process looks (:func:`restore`, :func:`tidy`).
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from allin1_core.io.leftovers import (
    Part,
    exists,
    find_leftovers,
    first_time,
    flush_folder,
    folder_lock,
    is_old_journal,
    journal_path,
    remove,
    temporary_path,
)


def replace_together(parts: Sequence[tuple[Part, Path]], removed: Iterable[Path] = ()) -> None:
    """Give each part its final name, the last one last, and remove files that are not to stay beside them.

    Parameters
    ----------
    parts
        Files or folders, complete and flushed, with their final names in one folder.
    removed
        Earlier files in that folder, there or not.

    Raises
    ------
    OSError
        It could not be done, and the earlier state is back. Where even that failed, it is put back at the next start.
    """
    for part, target in parts:
        # Renaming says so by itself; here the earlier one is put aside first, and would be gone.
        if target.is_dir() and not target.is_symlink() and not part.path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(target))
    main = parts[-1][1]
    folder, journal = main.parent, journal_path(main)
    targets = [target for _, target in parts]
    done = temporary_path(journal)
    with folder_lock(folder):
        _undo(journal)
        try:
            _write_journal(journal, [*targets, *removed])
            for part, target in parts:
                part.path.replace(target)
            for path in removed:
                path.unlink(missing_ok=True)
            journal.rename(done)
            flush_folder(folder)
        except BaseException:
            with suppress(OSError):
                if exists(done):
                    done.rename(journal)
                _undo(journal)
            raise
    remove(done)


def restore(target: Path) -> None:
    """Put back what a process that died while it replaced `target` had put aside. Never raises an OSError."""
    journal = journal_path(target)
    with suppress(OSError, ValueError):  # a NUL in the name
        if exists(journal):
            with folder_lock(target.parent) as is_locked:
                if is_locked or is_old_journal(journal):
                    _undo(journal)


def tidy(folder: Path) -> None:
    """Remove what dead processes left unfinished in `folder`, and put back what they had put aside.

    The folder is looked at once in a process. Never raises an OSError.
    """
    with suppress(OSError):
        if not first_time(folder):
            return
        with folder_lock(folder) as is_locked:
            parts, journals = find_leftovers(folder)
            for journal in journals:
                with suppress(OSError):
                    if is_locked or is_old_journal(journal):
                        _undo(journal)
        for path in parts:
            remove(path)


def _write_journal(journal: Path, targets: Sequence[Path]) -> None:
    for folder in (journal, journal / "was", journal / "new"):
        folder.mkdir()
    absent = [target for target in targets if not exists(target)]
    for target in absent:
        (journal / "new" / target.name).mkdir()
    for target in targets:
        if target not in absent:
            _set_aside(target, journal / "was" / target.name)


def _set_aside(target: Path, aside: Path) -> None:
    """Keep a file under a second name, so that its own never stops to exist; a folder moves."""
    if stat.S_ISDIR(target.lstat().st_mode):
        target.rename(aside)
        return
    try:
        os.link(target, aside, follow_symlinks=False)
    except (OSError, NotImplementedError):  # of a file system without links
        shutil.copy2(target, aside, follow_symlinks=False)


def _undo(journal: Path) -> None:
    """Make everything as it was before `journal` was begun; may be repeated whenever it was interrupted."""
    if not exists(journal):
        return
    folder = journal.parent
    for name in _names(journal / "new"):
        _drop(folder / name, journal)
    for name in _names(journal / "was"):
        aside, target = journal / "was" / name, folder / name
        if stat.S_ISDIR(aside.lstat().st_mode):
            _drop(target, journal)
            aside.rename(target)
            continue
        if exists(target) and os.path.samestat(aside.lstat(), target.lstat()):
            continue
        # Not moved: the journal stays whole until all of it is put back.
        back = temporary_path(target)
        try:
            _set_aside(aside, back)
            back.replace(target)
        finally:
            remove(back)
    flush_folder(folder)
    done = temporary_path(journal)
    journal.rename(done)
    remove(done)


def _drop(target: Path, journal: Path) -> None:
    """Remove a file; move a folder out of the way, to be removed with the journal."""
    if not exists(target):
        return
    if stat.S_ISDIR(target.lstat().st_mode):
        target.rename(temporary_path(journal / "dropped"))
    else:
        target.unlink()


def _names(folder: Path) -> list[str]:
    """What is in a folder of a journal; nothing where its writer did not come so far."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []
