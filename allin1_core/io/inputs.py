"""The songs that arguments refer to: files, URLs, folders, patterns, and lists of them."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from allin1_core.errors import InputError
from allin1_core.io.decoding.loaders import loader_suffixes
from allin1_core.io.own_files import SEPARATION_NOTE, SONIFICATION_END
from allin1_core.paths import expanded
from allin1_core.urls import Url, is_url

#: Suffixes of the files in a folder that are considered audio; files named explicitly may have any suffix.
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
        ".rf64",
        ".snd",
        ".w64",
        ".wav",
        ".wave",
        ".webm",
        ".wma",
        ".wv",
    ]
)

#: Limit in bytes for a list of songs.
_MOST_LIST_BYTES = 256 * 2**20


@dataclass
class Songs:
    """The songs that arguments refer to.

    Attributes
    ----------
    songs
        In the order of the arguments, with duplicates.
    errors
        An error for each argument without a song; the others are not affected.
    """

    songs: list[Path | Url] = field(default_factory=list)
    errors: list[InputError] = field(default_factory=list)


def find_songs(
    arguments: Iterable[str | os.PathLike[str]],
    lists: Iterable[str | os.PathLike[str]] = (),
    *,
    include: Sequence[str] = (),
) -> Songs:
    """Find the songs that `arguments` refer to, in their order, followed by those in `lists`.

    Parameters
    ----------
    arguments
        Files; URLs; folders, which are searched recursively for audio in the order of names, except for hidden files (such
        as ``._`` files of macOS) and files that this package wrote (songs with clicks, kept stems); and patterns such as
        ``"albums/**/*.flac"``, unless a file of that name exists. Folders that match a pattern are searched, too.
    lists
        Files with a list of such arguments; see :func:`read_list`.
    include
        Patterns of the file names to include from folders, such as ``"*.mp3"``, instead of all audio.

    Returns
    -------
    Songs
        Files are not opened, and named files need not exist: this is reported when they are read. A folder or pattern
        without a song, or that cannot be read, causes an error of its own.
    """
    found = Songs()
    named: list[str | os.PathLike[str]] = [*arguments]
    for path in lists:
        with _collecting(found.errors):
            named += read_list(path)
    for argument in named:
        with _collecting(found.errors):
            found.songs += _songs_of(os.fspath(argument), include, found.errors.append)
    return found


@contextmanager
def _collecting(errors: list[InputError]) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        errors.append(error)


def _songs_of(
    argument: str, include: Sequence[str], report: Callable[[InputError], None]
) -> Iterable[Path | Url]:
    """The songs that an argument refers to; errors in parts of it are passed to `report`."""
    if is_url(argument):
        local = _local(argument)
        if local is None:
            return _at_url(Url(argument), include)
        argument = local
    if argument == "-":
        return [Path(argument)]
    path = expanded(argument)
    if str(path) == "-":  # ./-, a file
        path = path.absolute()
    if os.path.isdir(path):  # noqa: PTH112 - unlike Path.is_dir, never raises
        return _in_folder(path, include, report)
    if not glob.has_magic(str(path)) or os.path.lexists(path):
        return [path]
    songs: list[Path | Url] = []
    for match in map(Path, sorted(glob.glob(str(path), recursive=True))):  # noqa: PTH207 - also supports absolute patterns
        if not os.path.isdir(match):  # noqa: PTH112
            songs.append(match)
        elif "**" not in argument:
            songs += _walk(match, include, report)
    if not songs:
        raise InputError("No file matches this pattern.", remedy="Check its spelling.", path=path)
    return songs


def _local(url: str) -> str | None:
    """The path of a ``file://`` URL; None for others."""
    if not url.lower().startswith("file://"):
        return None
    found = urlsplit(url)
    if found.netloc not in ("", "localhost"):
        raise InputError(
            "This is a file on another computer.", remedy="Give the path of a file.", path=url
        )
    return url2pathname(found.path)


def _at_url(url: Url, include: Sequence[str]) -> list[Url]:
    from allin1_core.io.fetching import list_songs

    songs = list_songs(url, lambda name: _is_wanted(name, include), tuple(AUDIO_SUFFIXES))
    if songs is None:
        return [url]
    if not songs:
        wanted = " or ".join(include) or "audio"
        raise InputError(f"There is no {wanted} at this URL.", path=url.without_secrets)
    return songs


def read_list(path: str | os.PathLike[str]) -> list[str]:
    """Read a list of songs: one path or URL per line, or an M3U playlist.

    Parameters
    ----------
    path
        The list. Relative paths in it are relative to its folder; empty lines and lines that begin with ``#`` are
        ignored. The encoding is UTF-8, with or without a byte order mark, or otherwise Latin-1.

    Returns
    -------
    list of str
        Arguments for :func:`find_songs`.

    Raises
    ------
    InputError
        The list cannot be read, or contains no songs.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MOST_LIST_BYTES:
            raise InputError("This is not a list of songs: it is too large.", path=path)
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"The list cannot be read: {reason}.", path=path) from error
    return parse_list(content, path, path.parent)


def parse_list(content: bytes, path: Path, folder: Path) -> list[str]:
    """Parse a list as :func:`read_list` does; errors name `path`, and relative paths are relative to `folder`."""
    if b"\0" in content:
        raise InputError("This is not a list of songs: it is a binary file.", path=path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = (line.strip() for line in text.splitlines())
    songs = [
        # Joined as text, so that a file named - becomes ./-, which is not stdin.
        line if is_url(line) else os.path.join(folder, expanded(line))  # noqa: PTH118
        for line in lines
        if line and not line.startswith("#")
    ]
    if not songs:
        raise InputError(
            "The list contains no songs.", remedy="Write one path or URL per line.", path=path
        )
    return songs


def _in_folder(
    folder: Path, include: Sequence[str], report: Callable[[InputError], None]
) -> list[Path]:
    problems: list[InputError] = []
    songs = list(_walk(folder, include, problems.append))
    for problem in problems:
        report(problem)
    if not songs and not problems:
        wanted = " or ".join(include) or "audio"
        raise InputError(
            f"The folder contains no {wanted}.",
            remedy="Name files, or choose which files to include with --include.",
            path=folder,
        )
    return songs


def _walk(
    folder: Path, include: Sequence[str], report: Callable[[InputError], None]
) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        reason = error.strerror or error
        report(InputError(f"The folder cannot be read: {reason}.", path=error.filename))

    for root, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if SEPARATION_NOTE in files:
            continue  # stems that an earlier run kept
        for name in sorted(files):
            if not name.startswith(".") and _is_wanted(name, include):
                yield Path(root, name)


def _is_wanted(name: str, include: Sequence[str]) -> bool:
    if include:
        return any(fnmatch(name, pattern) for pattern in include)
    if Path(name).stem.endswith(SONIFICATION_END):
        return False
    suffix = Path(name).suffix.lower()
    return suffix in AUDIO_SUFFIXES or suffix in loader_suffixes()
