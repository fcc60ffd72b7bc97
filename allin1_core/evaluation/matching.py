"""Matches references with results by name."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from allin1_core.errors import InputError
from allin1_core.evaluation.readers import SUFFIXES

#: Parts of file names before the suffix that state the content: ``song.beats.txt``.
KINDS = (".beats", ".downbeats", ".segments", ".sections", ".labels")


def find_references(paths: Sequence[Path]) -> dict[str, list[Path]]:
    """List files of annotations by the name of their song.

    Parameters
    ----------
    paths
        Files, and folders of them, whose subfolders are not searched.

    Returns
    -------
    dict
        The files of each song, in the order of `paths`.

    Raises
    ------
    InputError
        A path does not exist, or there is no file of annotations.
    """
    found: dict[str, list[Path]] = {}
    for path in paths:
        if path.is_dir():
            files = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        elif path.is_file():
            files = [path]
        else:
            raise InputError("does not exist.", remedy="Check its name.", path=path)
        for file in files:
            found.setdefault(song_name(file), []).append(file)
    if not found:
        raise InputError(
            "contains no annotations.",
            path=paths[0] if paths else None,
            remedy=f"Give files that end in {', '.join(SUFFIXES)}, folders with such files, or a file that ends"
            " in .json.",
        )
    return found


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
