"""The tracks that a command line of ``allin1 analyze`` names, and the names of their results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from allin1_core.cli.analyze_options import STEM_OPTIONS

if TYPE_CHECKING:
    from allin1_core.errors import InputError
    from allin1_core.runtime.session import Session
    from allin1_core.runtime.track import Track
    from allin1_core.urls import Url

#: The argument for audio on stdin.
STDIN = Path("-")


def find_paths(
    paths: tuple[str, ...], lists: tuple[Path, ...], include: tuple[str, ...]
) -> tuple[list[Path | Url], list[InputError]]:
    """List the songs that paths and lists name, without duplicates, and an error for each that cannot be found."""
    from allin1_core.errors import InputError
    from allin1_core.io.inputs import find_songs

    named, errors = [*paths], []
    if STDIN in lists:
        if str(STDIN) in paths:
            raise click.UsageError(
                "Stdin is either a song (-) or a list (--from-list -), not both."
            )
        try:
            named += _listed_on_stdin()
        except InputError as error:
            errors.append(error)
    found = find_songs(named, [path for path in lists if path != STDIN], include=include)
    return list(dict.fromkeys(found.songs)), [*errors, *found.errors]


def _listed_on_stdin() -> list[str]:
    import sys

    from allin1_core.errors import InputError
    from allin1_core.io.inputs import parse_list

    if sys.stdin is None or sys.stdin.buffer.isatty():
        raise InputError(
            "No list was sent to stdin.",
            remedy="Send one: find music -name '*.mp3' | allin1 analyze --from-list -",
            path=STDIN,
        )
    return parse_list(sys.stdin.buffer.read(), STDIN, Path())


@contextmanager
def received(songs: list[Path | Url], errors: list[InputError]) -> Iterator[Path | None]:
    """Copy stdin to a temporary file, if it is one of `songs`.

    If that fails, it is removed from `songs`, and the error is added to `errors`. Gives the file, or None.
    """
    import shutil
    import sys
    import tempfile
    from contextlib import ExitStack

    from allin1_core.errors import InputError

    if STDIN not in songs:
        yield None
        return
    with ExitStack() as stack:
        file: Path | None = None
        try:
            if sys.stdin is None or sys.stdin.buffer.isatty():
                raise InputError(
                    "There is no audio on stdin.",
                    remedy="Pipe it in: cat song.mp3 | allin1 -",
                    path=STDIN,
                )
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="allin1-"))
            file = Path(folder) / "stdin"
            with file.open("wb") as copy:
                shutil.copyfileobj(sys.stdin.buffer, copy)
        except InputError as error:
            errors.append(error)
        except OSError as error:
            reason = f"stdin cannot be copied to {tempfile.gettempdir()}: {error.strerror}."
            errors.append(
                InputError(
                    reason, remedy="Free some space, or set TMPDIR to another folder.", path=STDIN
                )
            )
        if errors and errors[-1].path == str(STDIN):
            songs.remove(STDIN)
            file = None
        yield file


def with_received(tracks: list[Track], file: Path | None) -> list[Track]:
    """Replace the track on stdin by one whose source is `file`."""
    place = STDIN.absolute()
    if file is None:
        return tracks
    return [
        replace(track, source=file, called=STDIN) if track.source == place else track
        for track in tracks
    ]


def _model_of(track: Track, session: Session) -> str:
    """Name of the model for a track; if its files cannot be read, which its analysis reports, the default model."""
    from allin1_core.errors import Allin1Error

    try:
        return session.choose_model(track).card.name
    except Allin1Error:
        return session.card.name


def renamed(tracks: list[Track], pattern: str, session: Session) -> list[Track]:
    """Name the results by a pattern.

    Raises
    ------
    click.BadParameter
        The pattern is invalid, or gives several songs the same name.
    """
    from allin1_core.io.names import portable_name

    if pattern == "{name}":
        return tracks
    if not pattern.strip():
        raise click.BadParameter("it is empty", param_hint="--name")
    try:
        pattern.format(name="", model="")
        models = [_model_of(t, session) if "{model" in pattern else "" for t in tracks]
        names = [
            portable_name(pattern.format(name=track.name, model=model))
            for track, model in zip(tracks, models, strict=True)
        ]
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise click.BadParameter(
            "the only placeholders are {name} and {model}", param_hint="--name"
        ) from error
    if len(set(names)) < len({track.name for track in tracks}):
        raise click.BadParameter(
            "several songs would have the same name; include {name}", param_hint="--name"
        )
    return [
        replace(track, name=name, model=model or None)
        for track, name, model in zip(tracks, names, models, strict=True)
    ]


def tracks_of(
    ctx: click.Context,
    paths: Sequence[Path | Url],
    stems_dirs: tuple[Path, ...],
    stems: dict[str, Path | None],
    pattern: str | None,
    *,
    is_any: bool = False,
) -> list[Track]:
    """Match songs with the stems that were given.

    Parameters
    ----------
    is_any
        Whether arguments without a song were reported already, so that an empty list is not an error.

    Raises
    ------
    click.UsageError
        Songs and stems do not match, or there are none.
    """
    from allin1_core.io.stems import StemFiles
    from allin1_core.runtime.track import make_tracks

    given = {name: path for name, path in stems.items() if path is not None}
    files = None
    if given:
        missing = [f"--stems-{name}" for name in STEM_OPTIONS if name not in given]
        if missing:
            raise click.UsageError(f"All four stems are needed; missing: {', '.join(missing)}.")
        if stems_dirs:
            raise click.UsageError("Give either --stems-dir or the four stems.")
        files = StemFiles(**given)
    if not paths and is_any:
        return []
    if not paths and not stems_dirs and files is None:
        raise click.UsageError("Nothing to analyse: give songs, or --stems-dir.", ctx)
    if pattern is None:
        return make_tracks(paths, stems_dirs, files)
    from allin1_core.io.stem_patterns import stems_by_pattern

    if files is not None or not paths or len(stems_dirs) > 1:
        raise click.UsageError(
            "--stems-pattern requires songs, and accepts at most one --stems-dir, which holds their stems."
        )
    folder = stems_dirs[0] if stems_dirs else None
    return [
        replace(track, stems=stems_by_pattern(track.source, pattern, folder))
        for track in make_tracks(paths)
    ]
