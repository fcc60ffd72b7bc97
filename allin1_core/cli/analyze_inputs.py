"""Which tracks a command line of ``allin1 analyze`` means, and what their results are called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from allin1_core.cli.analyze_options import STEM_OPTIONS

if TYPE_CHECKING:
    from allin1_core.runtime.session import Session
    from allin1_core.runtime.track import Track


def find_paths(
    paths: tuple[Path, ...], lists: tuple[Path, ...], include: tuple[str, ...]
) -> list[Path]:
    """List the songs that paths and lists name, each once, where it was named first."""
    from allin1_core.io.inputs import find_songs, read_list

    named = [*paths, *(song for path in lists for song in read_list(path))]
    # Each once, where it was named first.
    return list(dict.fromkeys(find_songs(named, include=include)))


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """The path of a song; what comes on stdin is kept in a file as long as it is needed."""
    if str(path) != "-":
        yield path
        return
    import shutil
    import sys
    import tempfile

    with tempfile.TemporaryDirectory(prefix="allin1-") as folder:
        song = Path(folder) / "stdin"
        with song.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield song


def _model_of(track: Track, session: Session) -> str:
    """Name of the model for a track; where its files cannot be read, as its analysis will say, that for any song."""
    from allin1_core.errors import Allin1Error

    try:
        return session.choose_model(track).card.name
    except Allin1Error:
        return session.card.name


def renamed(tracks: list[Track], pattern: str, session: Session) -> list[Track]:
    """Name results by a pattern."""
    from dataclasses import replace

    from allin1_core.io.names import portable_name

    if pattern == "{name}":
        return tracks
    try:
        pattern.format(name="", model="")
        models = [_model_of(t, session) if "{model" in pattern else "" for t in tracks]
        names = [
            portable_name(pattern.format(name=track.name, model=model))
            for track, model in zip(tracks, models, strict=True)
        ]
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise click.BadParameter(
            "wanted a text with {name} and {model}", param_hint="--name"
        ) from error
    if len(set(names)) < len({track.name for track in tracks}):
        raise click.BadParameter("several songs would have one name", param_hint="--name")
    return [replace(track, name=name) for track, name in zip(tracks, names, strict=True)]


def tracks_of(
    ctx: click.Context,
    paths: Sequence[Path],
    stems_dirs: tuple[Path, ...],
    stems: dict[str, Path | None],
    pattern: str | None,
) -> list[Track]:
    """Match songs with the stems that were given.

    Raises
    ------
    click.UsageError
        They do not go together, or there are none.
    """
    from allin1_core.io.stems import StemFiles
    from allin1_core.runtime.track import make_tracks

    given = {name: path for name, path in stems.items() if path is not None}
    files = None
    if given:
        missing = [f"--stems-{name}" for name in STEM_OPTIONS if name not in given]
        if missing:
            raise click.UsageError(f"All four stems are needed; missing: {', '.join(missing)}")
        if stems_dirs:
            raise click.UsageError("Give either --stems-dir or the four stems.")
        files = StemFiles(**given)
    if not paths and not stems_dirs and files is None:
        raise click.UsageError("Nothing to analyse: give songs, or --stems-dir.", ctx)
    if pattern is None:
        return make_tracks(paths, stems_dirs, files)
    from dataclasses import replace

    from allin1_core.io.stem_patterns import stems_by_pattern

    if files is not None or not paths or len(stems_dirs) > 1:
        raise click.UsageError(
            "--stems-pattern goes with songs, and at most one --stems-dir, where their stems are."
        )
    folder = stems_dirs[0] if stems_dirs else None
    return [
        replace(track, stems=stems_by_pattern(track.source, pattern, folder))
        for track in make_tracks(paths)
    ]
