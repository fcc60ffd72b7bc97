"""What is to be analysed: a song, or the folder of its stems, and what its results are called."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from allin1_core.errors import Allin1Error, InputError
from allin1_core.io.names import portable_name, unique_names
from allin1_core.io.stems import StemFiles, find_stems
from allin1_core.paths import expanded
from allin1_core.text import shown
from allin1_core.urls import Url

#: Stands for audio on stdin.
_STDIN = Path("-")


@dataclass(frozen=True)
class Track:
    """One song.

    Attributes
    ----------
    name
        What its result files are called, unique in a batch.
    source
        The song's file, or the folder of its stems; stands in the result unless `called` does.
    stems
        Ready-made stems; None to analyse the mix at `source`.
    stems_dir
        Folder to look for the stems in when the track is analysed, so that a missing stem costs this track alone.
    called
        What stands in the result instead of `source`, where that is a file for the time being; None for `source`.
    remote
        Where the song is yet to be fetched from; `source` is no file then.
    model
        The model that `name` tells of, so that no other takes its place; None where it tells of none.
    """

    name: str
    source: Path
    stems: StemFiles | None = None
    stems_dir: Path | None = None
    called: Path | Url | None = None
    remote: Url | None = None
    model: str | None = None

    @property
    def path(self) -> Path | Url:
        """What stands in the result."""
        return self.source if self.called is None else self.called

    def find_stems(self) -> StemFiles | None:
        """Ready-made stems, or None where the mix is to be separated.

        Raises
        ------
        StemsError
            If there should be stems and they are not all there.
        InputError
            If the song that they are said to belong to is not there.
        """
        stems = self.stems
        if stems is None and self.stems_dir is not None:
            stems = find_stems(self.stems_dir)
        if stems is not None and self.remote is None and not os.path.exists(self.source):  # noqa: PTH110
            raise InputError(
                f"There is no such file; the stems in {shown(stems.source)} were to be analysed under its name.",
                remedy="Check the name, or give the stems without the song.",
                path=self.source,
            )
        return stems


def make_tracks(
    paths: Sequence[Path | Url] = (),
    stems_dirs: Sequence[Path] = (),
    stems: StemFiles | None = None,
) -> list[Track]:
    """Match songs with ready-made stems.

    Parameters
    ----------
    paths
        Songs, or their URLs. Without `stems_dirs` and `stems`, each is separated.
    stems_dirs
        Without `paths`, each is the folder of one song's stems, and gives it its name; one called ``stems`` gives that of its parent. With one path and one folder, that folder holds
        the song's stems, or holds a folder named like the song that does. With several paths, the one
        folder holds a folder of stems for each, named like it.
    stems
        Four files; they are the stems of the one path, or a track of their own.

    Raises
    ------
    InputError
        If the numbers do not go together.
    """
    if stems is not None:
        if stems_dirs or len(paths) > 1:
            raise InputError("Four stem files make one track; give at most one song with them.")
        source = paths[0] if paths else stems.source
        (track,) = _with_unique_names([replace(_track(source), stems=stems)])
        return [track]
    if not paths:
        tracks = [Track(_name_of(d), _absolute(d), stems_dir=d) for d in stems_dirs]
        return _with_unique_names(tracks)
    if len(stems_dirs) > 1:
        raise InputError(
            "Several songs and several folders of stems cannot be matched.",
            remedy="Give one folder that holds a folder of stems for each song.",
        )
    tracks = []
    for path in paths:
        folder = None
        if stems_dirs:
            inner = stems_dirs[0] / path.stem
            folder = inner if len(paths) > 1 or inner.is_dir() else stems_dirs[0]
        tracks.append(replace(_track(path), stems_dir=folder))
    return _with_unique_names(tracks)


def track_of(source: Path, called: Path | Url | None = None) -> Track:
    """The track of a song, or of a folder with its stems; `called` as for :class:`Track`."""
    if os.path.isdir(source):  # noqa: PTH112
        (track,) = make_tracks((), [source])
        return track
    (track,) = make_tracks([source])
    if called is None or called == source:
        return track
    return replace(track, name=portable_name(called.stem), called=called)


@contextmanager
def naming(track: Track) -> Iterator[None]:
    """Let errors about a file for the time being name what it stands for."""
    try:
        yield
    except Allin1Error as error:
        if track.called is not None and error.path == str(track.source):
            error.path = str(track.called)
        raise


def _track(song: Path | Url) -> Track:
    if isinstance(song, Url):
        return Track(song.stem, Path(str(song)), called=song.without_secrets, remote=song)
    return Track(_name_of(song), _absolute(song))


def _absolute(path: Path) -> Path:
    return expanded(path).absolute()


def _name_of(path: Path) -> str:
    if path == _STDIN:
        return "stdin"
    path = _absolute(path)
    # Unlike Path's this raises for no name.
    if not os.path.isdir(path):  # noqa: PTH112
        return path.stem
    if path.name in ("", ".."):
        path = path.resolve()
    # song/stems is called after the song.
    return path.parent.name if path.name.lower() == "stems" and path.parent.name else path.name


def _with_unique_names(tracks: list[Track]) -> list[Track]:
    remote = {track.remote.as_path for track in tracks if track.remote is not None}

    def is_there(source: Path) -> bool:
        return source in remote or source == _STDIN.absolute() or os.path.lexists(source)

    names = unique_names(
        [(t.name, t.source if t.remote is None else t.remote.as_path) for t in tracks], is_there
    )
    return [replace(track, name=name) for track, name in zip(tracks, names, strict=True)]
