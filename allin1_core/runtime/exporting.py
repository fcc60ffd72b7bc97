"""Export of results to the formats of other programs, with the exporters that plugins provide."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from allin1_core.contracts.export import Exporter, ExportTarget, Song
from allin1_core.contracts.result import AnalysisResult
from allin1_core.contracts.sections import Segment
from allin1_core.errors import (
    PLUGIN_FAILURES,
    Allin1Error,
    OutputError,
    PluginError,
    SelectionError,
    brief,
)
from allin1_core.io.atomic import atomic_path, refuse_to_replace
from allin1_core.io.audio import probe_audio
from allin1_core.io.names import folded
from allin1_core.paths import staying
from allin1_core.plugins.collecting import Offered, Offers
from allin1_core.selection.probing import check_needs, load_target
from allin1_core.text import did_you_mean
from allin1_core.urls import Url


def find_exporter(offers: Offers, name: str) -> Offered[Exporter]:
    """Look up an exporter whose requirements are installed.

    Parameters
    ----------
    offers
        What the plugins provide.
    name
        Name of the format.

    Raises
    ------
    SelectionError
        There is no exporter of that name, or its requirements are not installed.
    """
    if name not in offers.exporters:
        raise SelectionError(
            f"There is no export format called {name!r}.",
            remedy=did_you_mean(name, offers.exporters)
            + "`allin1 export --list` lists the formats.",
        )
    offered = offers.exporters[name]
    missing = check_needs(offered.item.needs)
    if missing is not None:
        raise SelectionError(
            f"The export format {name} cannot be written: {missing.reason}", remedy=missing.remedy
        )
    return offered


def song_of(
    result: AnalysisResult, name: str, *, source: Path | None = None, offset_s: float = 0.0
) -> Song:
    """Prepare a result for an exporter.

    Parameters
    ----------
    result
        The result.
    name
        Name of the song.
    The audio file; None for the path in the result.
        The audio file; None takes the path in the result.
    offset_s
        Seconds to add to every time. Times that would become negative are set to 0.
    """
    place = result.path if source is None else source
    path = Path(place.name if isinstance(place, Url) else place)
    last = max([*result.beats[-1:], *(one.end for one in result.segments[-1:]), 0.0])
    duration, rate = last, 44_100
    try:
        info = probe_audio(path)
    except (Allin1Error, OSError):
        pass  # a folder of stems, or a result from another machine
    else:
        duration, rate = max(last, info.duration_s or 0.0), info.sample_rate
    return Song(
        _moved(result, offset_s), name, path.absolute(), duration + max(0.0, offset_s), rate
    )


def _moved(result: AnalysisResult, offset_s: float) -> AnalysisResult:
    if offset_s == 0:
        return result

    def move(time: float) -> float:
        return max(0.0, time + offset_s)

    return dataclasses.replace(
        result,
        beats=[move(time) for time in result.beats],
        downbeats=[move(time) for time in result.downbeats],
        segments=[Segment(move(s.start), move(s.end), s.label) for s in result.segments],
    )


def export_songs(
    offered: Offered[Exporter],
    songs: Sequence[Song],
    out_dir: str | PathLike[str],
    *,
    collection: str = "allin1",
    overwrite: bool = False,
    keep_same: bool = False,
) -> list[Path]:
    """Write `songs` in one format; each file is written completely or not at all.

    Parameters
    ----------
    offered
        The exporter, from :func:`find_exporter`.
    songs
        Songs to write.
    out_dir
        Output folder; created if it is missing.
    collection
        Name of the file, without suffix, if the format combines several songs.
    overwrite
        Whether existing files may be replaced.
    keep_same
        Whether an existing file with the same content is kept without an error.

    Returns
    -------
    list of Path
        The files: one for each song, or one for all songs.

    Raises
    ------
    OutputError
        A file exists, cannot be written, or is the audio of a song; or the format cannot represent a result.
    PluginError
        The exporter failed.
    """
    written = []
    for destination, group in destinations(offered, songs, out_dir, collection=collection):
        _refuse_inputs(destination, [song.source for song in group])
        if keep_same and not overwrite and _has_content(destination, offered, group):
            written.append(destination)
            continue
        refuse_to_replace(destination, overwrite=overwrite)
        with atomic_path(destination) as temporary, temporary.open("wb") as file:
            _render(offered, group, file, destination)
        written.append(destination)
    return written


def destinations(
    offered: Offered[Exporter],
    songs: Sequence[Song],
    out_dir: str | PathLike[str],
    *,
    collection: str = "allin1",
) -> list[tuple[Path, Sequence[Song]]]:
    """Return the files that :func:`export_songs` writes, each with its songs."""
    folder, exporter = Path(out_dir), offered.item
    if exporter.collects:
        return [(folder / f"{collection}{exporter.suffix}", songs)]
    return [(folder / f"{song.name}{exporter.suffix}", [song]) for song in songs]


def check_files(files: Sequence[Path], inputs: Sequence[Path], *, overwrite: bool = False) -> None:
    """Check, before anything is written, that all `files` can be written.

    Parameters
    ----------
    files
        Files to be written.
    inputs
        Files that are read; they are never replaced, even with `overwrite`.
    overwrite
        Whether existing files may be replaced.

    Raises
    ------
    OutputError
        Two of `files` are the same, one is an input, or one exists and `overwrite` is not set.
    """
    seen: set[tuple[str, str]] = set()
    for file in files:
        place = os.path.realpath(file.parent), folded(file.name)
        if place in seen:
            raise OutputError(
                "would be written twice: two results or formats have this file name.",
                remedy="Write them one at a time, into different folders (-o).",
                path=file,
            )
        seen.add(place)
        _refuse_inputs(file, inputs)
        refuse_to_replace(file, overwrite=overwrite)


def _refuse_inputs(file: Path, inputs: Sequence[Path]) -> None:
    """Raise an error if writing `file` would destroy one of its inputs."""
    for one in inputs:
        try:
            is_input = file.samefile(one)
        except (OSError, ValueError):
            continue  # one of the two does not exist
        if is_input:
            raise OutputError(
                "is an input of this command, and is not replaced.",
                remedy="Name another folder (-o).",
                path=file,
            )


def _has_content(path: Path, offered: Offered[Exporter], songs: Sequence[Song]) -> bool:
    """Whether the file at `path` has the content of an export of `songs`."""
    if not path.is_file():
        return False
    content = BytesIO()
    _render(offered, songs, content, path)
    try:
        return path.read_bytes() == content.getvalue()
    except OSError:
        return False


def _render(
    offered: Offered[Exporter], songs: Sequence[Song], file: BinaryIO, destination: Path
) -> None:
    exporter = offered.item
    try:
        target: ExportTarget = load_target(exporter.target)
        with staying():
            target(songs, file)
    except (Allin1Error, OSError):
        raise
    except PLUGIN_FAILURES as error:
        raise PluginError(
            f"The exporter {exporter.name} of plugin {offered.plugin.name} failed: {brief(error)}",
            remedy="Report this to the plugin's authors.",
            path=destination,
        ) from error
