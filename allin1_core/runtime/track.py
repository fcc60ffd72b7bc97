"""The tracks to analyse: songs, or folders of their stems, and the names of their results."""

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

#: Represents audio on stdin.
_STDIN = Path("-")


@dataclass(frozen=True)
class Track:
    """One song.

    Attributes
    ----------
    name
        Name of the result files, unique in a batch.
    source
        The file of the song, or the folder of its stems; it is stored in the result unless `called` is set.
    stems
        Ready-made stems; None to analyse the mix at `source`.
    stems_dir
        Folder in which stems are looked up when the track is analysed, so that a missing stem affects this track only.
    called
        Path to store in the result instead of `source`, if that is a temporary file; None for `source`.
    remote
        URL from which the song is still to be downloaded; `source` is then not a file.
    model
        The model that `name` contains, which no other may replace; None if it contains none.
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
        """The path that is stored in the result."""
        return self.source if self.called is None else self.called

    def find_stems(self) -> StemFiles | None:
        """Ready-made stems, or None if the song itself is to be read.

        Raises
        ------
        StemsError
            Stems are missing.
        InputError
            The song to which the stems belong does not exist.
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
        Songs, or their URLs. Without `stems_dirs` and `stems`, the songs themselves are read.
    stems_dirs
        Without `paths`, each is the folder of one song's stems, and the source of its name; a folder called ``stems``
        takes the name of its parent. With one path and one folder, that folder contains the song's stems, or a folder
        with the name of the song that contains them. With several paths, the folder contains a folder of stems for
        each, with the name of the song.
    stems
        Four files: the stems of the single path, or a track of their own.

    Raises
    ------
    InputError
        The songs and the stems cannot be matched.
    """
    if stems is not None:
        if stems_dirs or len(paths) > 1:
            raise InputError(
                "Four stem files make one track.", remedy="Give at most one song with them."
            )
        stems = StemFiles(**{name: _absolute(path) for name, path in stems.by_name.items()})
        source = paths[0] if paths else stems.source
        (track,) = _with_unique_names([replace(_track(source), stems=stems)])
        return [track]
    stems_dirs = [_absolute(folder) for folder in stems_dirs]
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
    # Unlike the method of Path, this does not raise an exception for any name.
    if not os.path.isdir(path):  # noqa: PTH112
        return path.stem
    if path.name in ("", ".."):
        path = path.resolve()
    # song/stems takes the name of the song.
    return path.parent.name if path.name.lower() == "stems" and path.parent.name else path.name


def _with_unique_names(tracks: list[Track]) -> list[Track]:
    remote = {track.remote.as_path for track in tracks if track.remote is not None}

    def exists(source: Path) -> bool:
        return source in remote or source == _STDIN.absolute() or os.path.lexists(source)

    names = unique_names(
        [(t.name, t.source if t.remote is None else t.remote.as_path) for t in tracks], exists
    )
    return [replace(track, name=name) for track, name in zip(tracks, names, strict=True)]
