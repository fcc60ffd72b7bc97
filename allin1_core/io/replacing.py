"""Atomic replacement of several files and folders: all of them, or none.

No system renames several files at once. So the files to be replaced are first put into a journal, a hidden folder next
to them::

    .song.json~0123456789abcdef.old/was/song.json          a link to the earlier file
    .song.json~0123456789abcdef.old/new/song.activ.npz     (empty) there was none

The new files then get their final names, and renaming the journal commits the change. If an error occurs or the process
ends before that, the journal contains everything that is needed to restore the previous state: immediately after an
error, or when the next process checks (:func:`restore`, :func:`tidy`).
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Sequence
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


def replace_together(parts: Sequence[tuple[Part, Path]], removed: Sequence[Path] = ()) -> None:
    """Give each part its final name, in this order, and remove earlier files that do not belong to them.

    Parameters
    ----------
    parts
        Files or folders, complete and flushed, with their final names in one folder.
    removed
        Earlier files in that folder, which need not exist.

    Raises
    ------
    OSError
        It failed, and the previous state was restored. If that failed, too, it is restored at the next start.
    """
    main = parts[-1][1]
    folder, journal = main.parent, journal_path(main)
    targets = [target for _, target in parts]
    done = temporary_path(journal)
    with folder_lock(folder):
        _undo(journal)
        for part, target in parts:
            _check_kind(target, is_folder=part.path.is_dir())
        for path in removed:
            _check_kind(path, is_folder=False)
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
                _undo(journal, is_own=True)
            raise
    remove(done)


def restore(target: Path) -> None:
    """Restore `target` if a process died while it replaced it. Never raises an OSError."""
    journal = journal_path(target)
    with suppress(OSError, ValueError):  # ValueError: a NUL in the name
        if exists(journal):
            with folder_lock(target.parent) as is_locked:
                if is_locked or is_old_journal(journal):
                    _undo(journal)


def tidy(folder: Path) -> None:
    """Remove unfinished files of dead processes in `folder`, and restore the files that they were replacing.

    Each process checks a folder only once. Never raises an OSError.
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


def _check_kind(target: Path, *, is_folder: bool) -> None:
    """Refuse to replace a folder by a file, or a file by a folder, as ``rename`` does."""
    if exists(target) and _is_folder(target) != is_folder:
        number = errno.ENOTDIR if is_folder else errno.EISDIR
        raise OSError(number, os.strerror(number), str(target))


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
    """Link a file to a second name, so that its own name always exists; a folder is moved."""
    if _is_folder(target):
        target.rename(aside)
        return
    try:
        os.link(target, aside, follow_symlinks=False)
    except (OSError, NotImplementedError):  # the file system does not support links
        shutil.copy2(target, aside, follow_symlinks=False)


def _undo(journal: Path, *, is_own: bool = False) -> None:
    """Restore the state before `journal` was created; can be repeated after an interruption.

    If the journal is that of a dead process (not `is_own`), a new folder is kept: it is complete, and may have been
    replaced meanwhile.
    """
    if not exists(journal):
        return
    folder = journal.parent
    for name in _names(journal / "new"):
        target = folder / name
        if not _is_folder(target):
            target.unlink(missing_ok=True)
        elif is_own:
            target.rename(temporary_path(journal / "dropped"))
    for name in _names(journal / "was"):
        aside, target = journal / "was" / name, folder / name
        if _is_folder(aside):
            if is_own and exists(target):
                target.rename(temporary_path(journal / "dropped"))
            if not exists(target):
                aside.rename(target)
            continue
        if exists(target) and os.path.samestat(aside.lstat(), target.lstat()):
            continue
        # Not moved: the journal must stay complete until everything is restored.
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


def _is_folder(path: Path) -> bool:
    """Whether `path` is a folder, and not a link to one."""
    return exists(path) and stat.S_ISDIR(path.lstat().st_mode)


def _names(folder: Path) -> list[str]:
    """The names in a folder of a journal; none if its writer did not create it."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []
