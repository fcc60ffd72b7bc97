"""Files that an option names and a command writes besides the results: reports, timings, tables, pictures.

Whatever lies there is kept, unless it is a file of the same kind: ``--report song.wav`` must not cost anyone a song.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Collection, Iterable
from pathlib import Path

from allin1_core.errors import OutputError, SettingsError
from allin1_core.io.atomic import output_errors
from allin1_core.io.decoding.loaders import loader_suffixes
from allin1_core.io.inputs import AUDIO_SUFFIXES
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
    try:
        with output_errors(path):
            if not stat.S_ISREG(path.stat().st_mode):
                return
            with path.open("rb") as file:
                line = file.readline(_MOST_LINE_BYTES)
    except OutputError as error:
        # What is missing can be made; other reasons are reported when the file is written.
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            return
        raise
    if line and not _has_keys(line, keys):
        raise OutputError(
            f"exists already, and is not a {what} of this program.",
            remedy=f"Name another file for the {what}, or remove this one.",
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


def refuse_same_file(one: Path | None, other: Path | None, names: tuple[str, str]) -> None:
    """Raise :class:`~allin1_core.errors.SettingsError` if two options name the same file."""
    if one is not None and other is not None and os.path.realpath(one) == os.path.realpath(other):
        raise SettingsError(
            f"{names[0]} and {names[1]} name the same file, {shown(one)}.",
            remedy="Name two files.",
        )
