"""Which songs a command line means: files, folders, patterns, and lists of them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from allin1_core.errors import InputError
from allin1_core.io.decoding.loaders import loader_suffixes

#: Suffixes of what is taken for audio in a folder; files that are named are read whatever their suffix.
AUDIO_SUFFIXES = frozenset(
    [
        ".aac",
        ".ac3",
        ".aif",
        ".aifc",
        ".aiff",
        ".alac",
        ".ape",
        ".au",
        ".caf",
        ".flac",
        ".m4a",
        ".m4b",
        ".mka",
        ".mp2",
        ".mp3",
        ".mp4",
        ".mpc",
        ".oga",
        ".ogg",
        ".opus",
        ".snd",
        ".w64",
        ".wav",
        ".wave",
        ".webm",
        ".wma",
        ".wv",
    ]
)

#: A list longer than this is no list of songs.
_MOST_LIST_BYTES = 256 * 2**20


def find_songs(
    arguments: Iterable[str | os.PathLike[str]], *, include: Sequence[str] = ()
) -> list[Path]:
    """List the songs that `arguments` mean, in their order.

    Parameters
    ----------
    arguments
        Files; folders, which are searched recursively for audio, by name, without what is hidden (macOS's ``._`` twins
        included); and patterns such as ``"albums/**/*.flac"`` where no file of that name exists.
    include
        Patterns of file names to take from folders, instead of the suffixes of audio: ``"*.mp3"``.

    Returns
    -------
    list of Path
        As often as each was named. Files are not opened, and named files need not exist: reading them tells why not.

    Raises
    ------
    InputError
        A folder or pattern holds no song, or a folder cannot be read.
    """
    songs: list[Path] = []
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            found = list(_in_folder(path, include))
            if not found:
                wanted = " or ".join(include) or "audio"
                raise InputError(
                    f"The folder holds no {wanted}.",
                    remedy="Name files, or choose what to take from folders by --include.",
                    path=path,
                )
            songs += found
        elif glob.has_magic(os.fspath(path)) and not os.path.lexists(path):
            matches = sorted(glob.glob(os.fspath(path), recursive=True))  # noqa: PTH207 - absolute, too
            files = [match for match in map(Path, matches) if match.is_file()]
            if not files:
                raise InputError("No file matches this pattern.", path=path)
            songs += files
        else:
            songs.append(path)
    return songs


def read_list(path: str | os.PathLike[str]) -> list[Path]:
    """Read a list of songs: one path a line, or an M3U playlist.

    Parameters
    ----------
    path
        The list. Relative paths in it are relative to its folder; empty lines and lines that begin with ``#`` are
        passed over. UTF-8, with or without a byte order mark, or else Latin-1.

    Raises
    ------
    InputError
        The list cannot be read, or names no song.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MOST_LIST_BYTES:
            raise InputError("This is no list of songs: it is too large.", path=path)
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"The list cannot be read: {reason}.", path=path) from error
    if b"\0" in content:
        raise InputError("This is no list of songs: it is binary.", path=path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = (line.strip() for line in text.splitlines())
    songs = [path.parent / line for line in lines if line and not line.startswith("#")]
    if not songs:
        raise InputError("The list names no song.", path=path)
    return songs


def _in_folder(folder: Path, include: Sequence[str]) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise InputError(
            f"The folder cannot be read: {error.strerror or error}.", path=error.filename
        ) from error

    for root, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and _is_wanted(name, include):
                yield Path(root, name)


def _is_wanted(name: str, include: Sequence[str]) -> bool:
    if include:
        return any(fnmatch(name, pattern) for pattern in include)
    suffix = Path(name).suffix.lower()
    return suffix in AUDIO_SUFFIXES or suffix in loader_suffixes()
