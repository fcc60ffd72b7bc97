"""Which songs are meant: paths, folders, patterns, URLs, manifests, data sets of Ray."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from glob import has_magic
from pathlib import Path, PurePosixPath
from typing import Any

from allin1_core.errors import InputError, brief
from allin1_core.io.inputs import AUDIO_SUFFIXES, find_songs
from allin1_core.io.names import portable_name, unique_names
from allin1_core.runtime.track import Track, make_tracks
from allin1_core.urls import Url, is_url

from allin1_ray.storage import join, open_storage
from allin1_ray.work import Song

#: Suffixes of manifests. Each has a row a song, with a column of this name, or one of the others, and perhaps ``name``.
MANIFESTS = (".parquet", ".csv", ".jsonl", ".ndjson")
_COLUMNS = ("song", "path", "url")


def songs_of(given: Any, storage: Mapping[str, Any], include: Sequence[str] = ()) -> list[Song]:
    """List the songs that are meant, each once, where it was named first, and name their results.

    Parameters
    ----------
    given
        A path or URL of a song, a folder, a pattern or a manifest; several of them; or a data set of Ray with a column
        ``song``.
    storage
        Options of the stores, for fsspec.
    include
        Patterns of the names of files to take from local folders, instead of the suffixes of audio.

    Raises
    ------
    InputError
        A folder, pattern or manifest names no song, or cannot be read.
    """
    if isinstance(given, (str, os.PathLike)):
        given = [given]
    if hasattr(given, "iter_rows"):
        found = dict(_of_row(row, "") for row in given.iter_rows())
    else:
        found = {}
        for one in given:
            for address, name in _addresses(os.fspath(one), storage, include):
                found.setdefault(address, name)
    if not found:
        raise InputError("There are no songs.", remedy="Name songs, folders, or a manifest.")
    return _named(found)


def _named(found: Mapping[str, str | None]) -> list[Song]:
    songs = [_song(address) for address in found]
    asked = [
        (portable_name(name) if name else song.track.name, song.track.source)
        for song, name in zip(songs, found.values(), strict=True)
    ]
    names = unique_names(asked)
    return [
        replace(song, track=replace(song.track, name=name))
        for song, name in zip(songs, names, strict=True)
    ]


def _song(address: str) -> Song:
    if not is_url(address):
        (track,) = make_tracks([Path(address)])
        return Song(track)
    url = Url(address)
    track = Track(portable_name(url.stem), url.as_path, called=url.without_secrets)
    return Song(track, address)


def _addresses(
    given: str, storage: Mapping[str, Any], include: Sequence[str]
) -> Iterable[tuple[str, str | None]]:
    """The songs that an argument means, with the name of each where one is given."""
    suffix = _suffix(given)
    if suffix in MANIFESTS and not (not is_url(given) and Path(given).is_dir()):
        return _of_manifest(given, suffix, storage)
    if is_url(given):
        return [(url, None) for url in _in_store(given, storage)]
    found = find_songs([given], include=include)
    if found.errors:
        raise found.errors[0]
    return [(str(path.absolute()), None) for path in found.songs if isinstance(path, Path)]


def _in_store(url: str, storage: Mapping[str, Any]) -> list[str]:
    # On a server a question mark begins a query, and there is nothing to match a pattern with.
    is_pattern = has_magic(url) and not url.lower().startswith(("http://", "https://"))
    if _suffix(url) in AUDIO_SUFFIXES and not is_pattern:
        return [url]
    fs, path = open_storage(url, storage)
    try:
        if is_pattern:
            found = fs.glob(path)
        elif fs.isdir(path):
            found = [one for one in fs.find(path) if _is_audio(one)]
        else:
            return [url]
    except Exception as error:  # each store has classes of its own
        raise InputError(
            f"Cannot be listed: {brief(error)}.", path=Url(url).without_secrets
        ) from error
    if not found:
        raise InputError("There is no audio.", path=Url(url).without_secrets)
    return [fs.unstrip_protocol(one) for one in sorted(found)]


def _suffix(address: str) -> str:
    return (Url(address).suffix if is_url(address) else PurePosixPath(address).suffix).lower()


def _is_audio(path: str) -> bool:
    hidden = any(part.startswith(".") for part in path.split("/"))
    return not hidden and PurePosixPath(path).suffix.lower() in AUDIO_SUFFIXES


def _of_manifest(
    manifest: str, suffix: str, storage: Mapping[str, Any]
) -> Iterator[tuple[str, str | None]]:
    """Rows of a manifest; paths in it are relative to its folder."""
    folder = manifest.rpartition("/")[0]
    if not is_url(manifest):
        folder = str(Path(manifest).absolute().parent)
    try:
        rows = _read(manifest, suffix, storage)
    except InputError:
        raise
    except Exception as error:  # of the store, or of the reader
        raise InputError(f"The manifest cannot be read: {brief(error)}", path=manifest) from error
    if not any(column in rows.column_names for column in _COLUMNS):
        raise InputError(
            f"The manifest has no column {', '.join(_COLUMNS[:-1])} or {_COLUMNS[-1]}.",
            remedy=f"It has: {', '.join(rows.column_names) or 'none'}.",
            path=manifest,
        )
    for batch in rows.select(
        [c for c in (*_COLUMNS, "name") if c in rows.column_names]
    ).to_batches():
        for row in batch.to_pylist():
            yield _of_row(row, folder)


def _of_row(row: Mapping[str, Any], folder: str) -> tuple[str, str | None]:
    address = next((row[column] for column in _COLUMNS if row.get(column)), None)
    if address is None:
        raise InputError(f"A row names no song: {dict(row)}")
    address = str(address)
    if not is_url(address):
        path = Path(address).expanduser()
        if is_url(folder):
            address = join(folder, address)
        else:
            address = str(path if path.is_absolute() else Path(folder, path).absolute())
    name = row.get("name")
    return address, None if name is None else str(name)


def _read(manifest: str, suffix: str, storage: Mapping[str, Any]) -> Any:
    import pyarrow.csv
    import pyarrow.json
    import pyarrow.parquet

    fs, path = open_storage(manifest, storage)
    with fs.open(path, "rb") as file:
        if suffix == ".parquet":
            return pyarrow.parquet.ParquetFile(file).read()
        if suffix == ".csv":
            text = pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys((*_COLUMNS, "name"), pyarrow.string()),
                strings_can_be_null=False,
            )
            return pyarrow.csv.read_csv(file, convert_options=text)
        return pyarrow.json.read_json(file)
