"""Files that an option names and a command writes besides the results: reports, timings, tables, pictures.

Whatever lies there is kept, unless it is a file of the same kind: ``--report song.wav`` must not cost anyone a song. A
report or timings, whose lines are recognised, may always be written to; tables, pictures and pages are replaced with
``--overwrite``.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from allin1_core.errors import OutputError, SettingsError
from allin1_core.io.atomic import output_errors, refuse_to_replace
from allin1_core.io.decoding.loaders import loader_suffixes
from allin1_core.io.inputs import AUDIO_SUFFIXES
from allin1_core.io.leftovers import exists
from allin1_core.text import shown

#: Limit in bytes for the first line of a file of JSON lines.
_MOST_LINE_BYTES = 2**20


def refuse_audio_name(path: Path, what: str) -> None:
    """Raise :class:`~allin1_core.errors.SettingsError` if `path` has a suffix of audio, whether it exists or not.

    Parameters
    ----------
    path
        The file to write.
    what
        What is written: ``"report"``.
    """
    if path.suffix.lower() in AUDIO_SUFFIXES or path.suffix.lower() in loader_suffixes():
        raise SettingsError(
            f"This is the name of a song, and the {what} would be written there.",
            remedy=f"Name another file for the {what}, without a suffix of audio.",
            path=path,
        )


def refuse_inputs(path: Path, inputs: Iterable[Path], what: str) -> None:
    """Raise :class:`~allin1_core.errors.SettingsError` if `path` is one of the `inputs`."""
    place = os.path.realpath(path)
    if any(os.path.realpath(one) == place for one in inputs):
        raise SettingsError(
            f"This is an input, and the {what} would replace it.",
            remedy=f"Name another file for the {what}.",
            path=path,
        )


def check_json_lines(path: Path, keys: Collection[str], what: str) -> None:
    """Check that a file of JSON lines may be written to `path`, or appended to it.

    Parameters
    ----------
    path
        The file; it need not exist.
    keys
        Keys of each of its lines.
    what
        What it contains: ``"report"``.

    Raises
    ------
    SettingsError
        It has a suffix of audio.
    OutputError
        It exists, and its first line is not such a line; or it cannot be read. Empty files, pipes and devices are accepted.
    """
    refuse_audio_name(path, what)

    def is_own(file: BinaryIO) -> bool:
        line = file.readline(_MOST_LINE_BYTES)
        return _has_keys(line, keys)

    try:
        with output_errors(path):
            if not stat.S_ISREG(path.stat().st_mode):
                return
            _refuse_foreign(path, what, is_own)
    except OutputError as error:
        # What is missing can be made; other reasons are reported when the file is written.
        if not isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            raise


def check_file(
    path: Path, what: str, is_own: Callable[[BinaryIO], bool], *, overwrite: bool
) -> None:
    """Check that a file may be written to `path`.

    Parameters
    ----------
    path
        The file; it need not exist.
    what
        What it contains: ``"page"``.
    is_own
        Whether an existing file is of the same kind; called with the open file.
    overwrite
        Whether a file of the same kind, or an empty one, may be replaced.

    Raises
    ------
    SettingsError
        It has a suffix of audio.
    OutputError
        It exists and must not be replaced, or it cannot be read.
    """
    refuse_audio_name(path, what)
    refuse_to_replace(
        path,
        overwrite=overwrite,
        remedy="Allow overwriting (--overwrite; overwrite=True in Python), or name another file.",
    )
    with output_errors(path):
        if exists(path):
            _refuse_foreign(path, what, is_own)


def _refuse_foreign(path: Path, what: str, is_own: Callable[[BinaryIO], bool]) -> None:
    status = path.stat()
    if stat.S_ISREG(status.st_mode):
        if not status.st_size:
            return
        with path.open("rb") as file:
            if is_own(file):
                return
    raise OutputError(
        f"exists already, and is not a {what} of this program.",
        remedy="Name another file, or remove this one.",
        path=path,
    )


def _has_keys(line: bytes, keys: Collection[str]) -> bool:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return False
    if not isinstance(content, dict) or not content:
        return False
    # Other versions may write more or fewer keys.
    return set(content) <= set(keys) or set(content) >= set(keys)


def refuse_same_file(files: Mapping[str, Path | None]) -> None:
    """Raise :class:`~allin1_core.errors.SettingsError` if two options name the same file; `files` has that of each."""
    options: dict[str, str] = {}
    for option, path in files.items():
        if path is None:
            continue
        other = options.setdefault(os.path.realpath(path), option)
        if other != option:
            raise SettingsError(
                f"{other} and {option} name the same file, {shown(path)}.", remedy="Name two files."
            )
