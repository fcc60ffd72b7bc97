"""Matches references with results by name."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

from allin1_core.errors import Allin1Error, InputError
from allin1_core.evaluation.readers import SUFFIXES

#: Parts of file names before the suffix that state the content: ``song.beats.txt``.
KINDS = (".beats", ".downbeats", ".segments", ".sections", ".labels")


def find_references(
    paths: Sequence[Path], report: Callable[[Allin1Error], None] | None = None
) -> dict[str, list[Path]]:
    """List files of annotations by the name of their song.

    Parameters
    ----------
    paths
        Files, and folders of them, whose subfolders are not searched.
    report
        Called with the error of each path that does not exist or cannot be read; None raises it.

    Returns
    -------
    dict
        The files of each song, in the order of `paths`.

    Raises
    ------
    InputError
        There is no file of annotations; or a path does not exist or cannot be read, and there is no `report`.
    """
    found: dict[str, list[Path]] = {}
    is_reported = False
    for path in paths:
        try:
            files = _files_in(path)
        except InputError as error:
            if report is None:
                raise
            report(error)
            is_reported = True
            continue
        for file in files:
            found.setdefault(song_name(file), []).append(file)
    if not found and not is_reported:
        raise InputError(
            "contains no annotations.",
            path=paths[0] if paths else None,
            remedy=f"Give files that end in {', '.join(SUFFIXES)}, folders with such files, or a file that ends"
            " in .json.",
        )
    return found


def _files_in(path: Path) -> list[Path]:
    try:
        if path.is_file():
            return [path]
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        # A broken link is an error of its song; a pipe would never end.
        return [p for p in found if p.is_file() or p.is_symlink()]
    except FileNotFoundError as error:
        raise InputError("does not exist.", remedy="Check its name.", path=path) from error
    except NotADirectoryError as error:
        raise InputError("is neither a file nor a folder.", path=path) from error
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}.", remedy="Check its permissions.", path=path
        ) from error


def song_name(path: Path) -> str:
    """Return the name of the song that a file belongs to, independent of the encoding of accents.

    >>> song_name(Path("annotations/song.beats.txt"))
    'song'
    """
    name = path.stem
    for kind in KINDS:
        if name.lower().endswith(kind) and len(name) > len(kind):
            name = name[: -len(kind)]
    return unicodedata.normalize("NFC", name)


def display_names(paths: Sequence[Path]) -> list[str]:
    """Name each path by its stem, with its folder if the stem is not unique."""
    stems = [path.stem for path in paths]
    return [
        path.stem if stems.count(path.stem) == 1 else f"{path.parent.name}/{path.stem}"
        for path in paths
    ]
