"""Files of results: JSON, and NumPy's formats for activations and embeddings.

``<name>.json`` starts with the keys of allin1 1.1.0, in the same order, followed by ``schema``, ``tempo``, ``confidence``,
``alternatives``, ``warnings`` and ``provenance``. ``<name>.activ.npz`` and ``<name>.embed.npy`` are next to it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allin1_core.contracts.consistency import find_inconsistency
from allin1_core.contracts.metre import TempoAlternative
from allin1_core.contracts.result import (
    SCHEMA,
    AnalysisResult,
    Confidence,
    Provenance,
    SegmentConfidence,
    Tempo,
)
from allin1_core.contracts.sections import Segment
from allin1_core.errors import OutputError, ResultError
from allin1_core.io import documents
from allin1_core.io.arrays import (
    ArrayError,
    pack_arrays,
    read_array,
    read_arrays,
    write_array,
)
from allin1_core.io.atomic import atomic_files, check_folder, is_full, output_errors
from allin1_core.io.documents import DocumentError
from allin1_core.io.replacing import restore, tidy
from allin1_core.text import shown
from allin1_core.urls import Url, is_url

#: Names of inputs without a path: stdin, an open file, samples. Two inputs of such a name are never the same.
NO_PLACES = ("-", "stream", "samples")

#: Arrays in ``<name>.activ.npz``.
ACTIVATIONS = ("beat", "downbeat", "segment", "label")

#: Free space in bytes that is required: the size of the JSON of a long song.
_LEAST_SPACE = 2**18

_NUMBER_ARRAY = re.compile(r"\[\n\s+(-?\d[^\[\]{}\"]*?)\n\s+\]")


def save_result(
    result: AnalysisResult, out_dir: str | os.PathLike[str], name: str, *, overwrite: bool = False
) -> Path:
    """Write ``<out_dir>/<name>.json``, and next to it the arrays of the result.

    An earlier result of this name is replaced atomically, including arrays that the new one does not have. The files are
    on the disk when this returns; on any error, the earlier result is kept.

    Parameters
    ----------
    result
        The result to save.
    out_dir
        The folder; created if it is missing.
    name
        File name without extension.
    overwrite
        Also replace a result of another input.

    Returns
    -------
    Path
        The JSON.

    Raises
    ------
    OutputError
        A result of another input has this name, or a file cannot be written.
    """
    check_destination(out_dir, name, result.path, overwrite=overwrite)
    json_path = _paths(Path(out_dir) / f"{name}.json")[0]
    with output_errors(json_path):
        is_first = _mode(json_path) is None
    try:
        _save(result, json_path)
    except OutputError as error:
        if not (is_first and is_full(error)) or not (
            result.activations or result.embeddings is not None
        ):
            raise
        # Arrays take a hundred times the space of the rest, which is too expensive to lose.
        remark = "The activations and embeddings were not saved: the disk was full."
        bare = dataclasses.replace(
            result, activations=None, embeddings=None, warnings=[*result.warnings, remark]
        )
        _save(bare, json_path)
        raise OutputError(
            f"{error.message} The result was saved without activations and embeddings.",
            remedy=error.remedy,
            path=error.path,
        ) from error.__cause__
    return json_path


def _save(result: AnalysisResult, json_path: Path) -> None:
    """Replace a result and its arrays."""
    _, activ_path, embed_path = _paths(json_path)
    # ASCII, as in all-in-one; it can also represent file names that are not valid Unicode.
    try:
        content = json.dumps(to_json(result), indent=2, allow_nan=False)
    except ValueError as error:
        raise OutputError(
            "cannot be written: the result contains a number that is not finite.", path=json_path
        ) from error
    text = _one_line_arrays(content) + "\n"
    names = [activ_path.name, embed_path.name, json_path.name]
    with atomic_files(json_path.parent, names) as new:
        _write_arrays(result, new, activ_path.name, embed_path.name)
        new(json_path.name).write_text(text, "ascii", newline="\n")


def save_arrays(result: AnalysisResult, folder: str | os.PathLike[str], name: str) -> None:
    """Write only ``<name>.activ.npz`` and ``<name>.embed.npy``, if the result has them; existing files are replaced.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    _, activ_path, embed_path = _paths(Path(folder) / f"{name}.json")
    wanted = (activ_path, result.activations), (embed_path, result.embeddings)
    names = [path.name for path, array in wanted if array is not None]
    if names:
        check_folder(Path(folder), _LEAST_SPACE)
        with atomic_files(folder, names) as new:
            _write_arrays(result, new, activ_path.name, embed_path.name)


def array_paths(folder: str | os.PathLike[str], name: str) -> tuple[Path, Path]:
    """Return the paths of the activations and the embeddings of a result."""
    _, activ_path, embed_path = _paths(Path(folder) / f"{name}.json")
    return activ_path, embed_path


def _write_arrays(
    result: AnalysisResult, new: Callable[[str], Path], activ_name: str, embed_name: str
) -> None:
    if result.activations is not None:
        arrays = {key: result.activations[key] for key in ACTIVATIONS}
        new(activ_name).write_bytes(pack_arrays(arrays))
    if result.embeddings is not None:
        with new(embed_name).open("wb") as file:
            write_array(file, np.asarray(result.embeddings))


def check_destination(
    out_dir: str | os.PathLike[str],
    name: str,
    source: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> None:
    """Check before an analysis whether its result can be written.

    Parameters
    ----------
    out_dir, name, overwrite
        As for :func:`save_result`.
    source
        The input to be analysed.

    Raises
    ------
    OutputError
        The folder cannot be created or written to, or the disk is full; or, unless `overwrite` is set, there is a file of
        this name that is the result of another input or not a valid result, or there are arrays of this name without a result.
    """
    json_path, *arrays = _paths(Path(out_dir) / f"{name}.json")
    if "\0" in str(json_path):
        raise OutputError(
            "contains a NUL character.", remedy="Choose another folder.", path=json_path
        )
    check_folder(json_path.parent, _LEAST_SPACE)
    tidy(json_path.parent)
    restore(json_path)
    for path in (*arrays, json_path):
        with output_errors(path):
            mode = _mode(path)
        if mode is not None and stat.S_ISDIR(mode):
            raise OutputError("is a folder.", remedy="Choose another output folder.", path=path)
    if overwrite:
        return
    if mode is None:
        for path in arrays:
            with output_errors(path):
                is_there = _mode(path) is not None
            if is_there:
                raise OutputError(
                    f"exists already, without the result ({json_path.name}) that it would belong to.",
                    remedy="Move it away, choose another output folder (-o) or name (--name),"
                    " or allow overwriting (--overwrite).",
                    path=path,
                )
        return
    try:
        earlier = _place(documents.member(documents.read_json(json_path), "path"))
    except OSError as error:
        reason = f"cannot be read ({error.strerror or error})"
    except DocumentError as error:
        reason = f"is not the result of an analysis ({error})"
    else:
        if _is_same_place(earlier, source):
            try:
                load_result(json_path, load_activations=False, load_embeddings=False)
            except ResultError as error:  # corrections with a mistake are not to be lost
                raise OutputError(error.message, remedy=error.remedy, path=json_path) from error
            return
        which = f", {shown(earlier)}" if str(earlier) != str(source) else ""
        reason = f"contains the result of another input{which}"
    raise OutputError(
        f"{reason}, and that of {shown(source)} would replace it.",
        remedy="Choose another output folder (-o) or name (--name), or allow overwriting (--overwrite).",
        path=json_path,
    )


def _is_same_place(one: Path | Url, other: str | os.PathLike[str]) -> bool:
    """Whether two inputs are the same file or URL."""
    if isinstance(one, Url) or isinstance(other, Url):
        return str(one) == str(other)
    if os.fspath(one) in NO_PLACES:
        return False
    # One of the paths may be relative.
    return os.path.realpath(one) == os.path.realpath(other)


def load_result(
    path: str | os.PathLike[str], load_activations: bool = True, load_embeddings: bool = True
) -> AnalysisResult:
    """Read a result that this package or allin1 1.1.0 has written.

    Parameters
    ----------
    path
        The JSON.
    load_activations, load_embeddings
        Also read ``<name>.activ.npz`` and ``<name>.embed.npy`` if they exist next to it.

    Returns
    -------
    AnalysisResult
        The result; its floats are bit-identical to those that were saved.

    Raises
    ------
    ResultError
        The file is missing, damaged, not a result, or written by a newer version; or its parts contradict each other, as in
        a result that was edited by hand.
    """
    json_path, activ_path, embed_path = _paths(Path(path))
    restore(json_path)
    content = _read_json(json_path)
    activations = embeddings = None
    if load_activations and activ_path.is_file():
        activations = _load_activations(activ_path)
    if load_embeddings and embed_path.is_file():
        embeddings = _load_embeddings(embed_path)
    try:
        schema = documents.whole(
            documents.table(content, "the content").get("schema", SCHEMA), "schema"
        )
        if schema > SCHEMA:
            raise ResultError(
                f"was written by a newer version (schema {schema}; this one reads {SCHEMA}).",
                remedy="Upgrade allin1-core.",
                path=json_path,
            )
        result = _result(content, activations, embeddings)
        if fault := find_inconsistency(result):
            raise DocumentError(f"it has {fault}")
        return result
    except DocumentError as error:
        raise ResultError(
            f"is not the result of an analysis ({error}).",
            remedy="Correct it if it was edited, or analyse the song again with --overwrite.",
            path=json_path,
        ) from error


def _result(
    content: Any,
    activations: dict[str, NDArray[np.float32]] | None,
    embeddings: NDArray[np.float32] | None,
) -> AnalysisResult:
    number, whole = documents.number, documents.whole

    def member(name: str) -> Any:
        return documents.member(content, name)

    return AnalysisResult(
        path=_place(member("path")),
        bpm=None if member("bpm") is None else int(number(member("bpm"), "bpm")),
        beats=documents.items(member("beats"), "beats", number),
        downbeats=documents.items(member("downbeats"), "downbeats", number),
        beat_positions=documents.items(member("beat_positions"), "beat_positions", whole),
        segments=documents.read_as(list[Segment], member("segments"), "segments"),
        activations=activations,
        embeddings=embeddings,
        confidence=_confidence(content.get("confidence")),
        warnings=documents.read_as(list[str], content.get("warnings", []), "warnings"),
        provenance=documents.read_as(Provenance | None, content.get("provenance"), "provenance"),
        alternatives=documents.read_as(
            list[TempoAlternative], content.get("alternatives", []), "alternatives"
        ),
        tempo=documents.read_as(Tempo | None, content.get("tempo"), "tempo"),
    )


def _place(value: Any) -> Path | Url:
    path = documents.path(value, "path")
    return Url(value) if is_url(value) else path


def to_json(result: AnalysisResult) -> dict[str, Any]:
    """Return the content of ``<name>.json``: numbers, strings, lists and dicts, without the arrays."""
    return result.to_dict()


def _confidence(content: Any) -> Confidence | None:
    if content is None:
        return None

    def member(name: str) -> Any:
        return documents.member(content, name)

    probabilities = documents.table(member("metre_log_probabilities"), "metre_log_probabilities")
    return Confidence(
        beats=documents.items(member("beats"), "confidence.beats", documents.number),
        metre=None if member("metre") is None else documents.number(member("metre"), "metre"),
        metre_log_probabilities={
            _digits(beats): -math.inf if value is None else documents.number(value, "a probability")
            for beats, value in probabilities.items()
        },
        segments=documents.read_as(
            list[SegmentConfidence] | None, content.get("segments"), "confidence.segments"
        ),
    )


def _digits(key: str) -> int:
    if not (key.isascii() and key.isdecimal() and len(key) < 10):
        raise DocumentError("metre_log_probabilities has a key that is not a number of beats")
    return int(key)


def _paths(json_path: Path) -> tuple[Path, Path, Path]:
    """Paths of a result, its activations and its embeddings. The name may contain dots."""
    name = json_path.name.removesuffix(".json")
    return (
        json_path,
        json_path.with_name(f"{name}.activ.npz"),
        json_path.with_name(f"{name}.embed.npy"),
    )


def _mode(path: Path) -> int | None:
    """Mode of the file, without following links; None if there is none."""
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return None


def _one_line_arrays(text: str) -> str:
    return _NUMBER_ARRAY.sub(lambda found: f"[{' '.join(found[1].split())}]", text)


def _read_json(path: Path) -> Any:
    try:
        return documents.read_json(path)
    except OSError as error:
        raise ResultError(
            f"cannot be read: {error.strerror or error}.",
            remedy="Give the path of a result's JSON.",
            path=path,
        ) from error
    except DocumentError as error:
        raise ResultError(
            f"is damaged or not JSON ({error}).", remedy="Analyse the song again.", path=path
        ) from error


def _load_activations(path: Path) -> dict[str, NDArray[np.float32]]:
    with _damage_errors(path):
        return read_arrays(path, ACTIVATIONS)


def _load_embeddings(path: Path) -> NDArray[np.float32]:
    with _damage_errors(path):
        return read_array(path)


@contextmanager
def _damage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ArrayError) as error:
        raise ResultError(
            f"is damaged ({error}).",
            remedy="Remove it, or analyse the song again with the option that writes it (-a or -e).",
            path=path,
        ) from error
