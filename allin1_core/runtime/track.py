"""What is to be analysed: a song, or the folder of its stems, and what its results are called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from allin1_core.errors import InputError
from allin1_core.io.stems import StemFiles, find_stems


@dataclass(frozen=True)
class Track:
    """One song.

    Attributes
    ----------
    name
        What its result files are called, unique in a batch.
    source
        The song's file, or the folder of its stems; stands in the result.
    stems
        Ready-made stems; None to analyse the mix at `source`.
    stems_dir
        Folder to look for the stems in when the track is analysed, so that a missing stem costs this track alone.
    """

    name: str
    source: Path
    stems: StemFiles | None = None
    stems_dir: Path | None = None

    def find_stems(self) -> StemFiles | None:
        """Ready-made stems, or None where the mix is to be separated.

        Raises
        ------
        StemsError
            If there should be stems and they are not all there.
        """
        if self.stems is None and self.stems_dir is not None:
            return find_stems(self.stems_dir)
        return self.stems


def make_tracks(
    paths: Sequence[Path] = (),
    stems_dirs: Sequence[Path] = (),
    stems: StemFiles | None = None,
) -> list[Track]:
    """Match songs with ready-made stems.

    Parameters
    ----------
    paths
        Songs. Without `stems_dirs` and `stems`, each is separated.
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
        return [Track(_name_of(source), _absolute(source), stems=stems)]
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
        tracks.append(Track(_name_of(path), _absolute(path), stems_dir=folder))
    return _with_unique_names(tracks)


def _absolute(path: Path) -> Path:
    return Path(path).expanduser().absolute()


def _name_of(path: Path) -> str:
    path = _absolute(path)
    if not path.is_dir():
        return path.stem
    # song/stems is called after the song.
    return path.parent.name if path.name.lower() == "stems" and path.parent.name else path.name


def _with_unique_names(tracks: list[Track]) -> list[Track]:
    """Tell apart tracks of one name from different places by as many parents as that takes.

    The same source twice keeps its name: both give the same result.
    """
    named: dict[str, set[Path]] = defaultdict(set)
    for track in tracks:
        named[track.name].add(track.source)
    renamed = []
    for track in tracks:
        rivals = named[track.name] - {track.source}
        renamed.append(track if not rivals else replace(track, name=_distinct_name(track, rivals)))
    return renamed


def _distinct_name(track: Track, rivals: set[Path]) -> str:
    """As many trailing parts of the path as no rival shares, joined by underscores."""
    same_parent = {rival for rival in rivals if rival.parent == track.source.parent}
    if same_parent:
        # song.wav and song.mp3 side by side: the extension tells them apart.
        track = replace(track, name=f"{track.name}_{track.source.suffix.lstrip('.')}")
        rivals = rivals - same_parent
        if not rivals:
            return track.name
    parents = track.source.parent.parts
    for count in range(1, len(parents) + 1):
        tail = parents[-count:]
        if all(rival.parent.parts[-count:] != tail for rival in rivals):
            break
    parts = [part.strip("/\\:") for part in tail]
    return "_".join([*(part for part in parts if part), track.name])
