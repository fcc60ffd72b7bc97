"""Results as files: JSON for people and programs, NumPy's formats for what a run was asked to keep.

``<name>.json`` begins with the keys of allin1 1.1.0, in its order, and goes on with ``schema``,
``confidence``, ``alternatives``, ``warnings`` and ``provenance``. ``<name>.activ.npz`` and ``<name>.embed.npy`` lie beside it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allin1_core.contracts.metre import TempoAlternative
from allin1_core.contracts.result import SCHEMA, AnalysisResult, Confidence, Provenance, StageRecord
from allin1_core.contracts.sections import Segment
from allin1_core.errors import OutputError
from allin1_core.io.atomic import atomic_path

#: Arrays in ``<name>.activ.npz``.
ACTIVATIONS = ("beat", "downbeat", "segment", "label")

_NUMBER_ARRAY = re.compile(r"\[\n\s+(-?\d[^\[\]{}\"]*?)\n\s+\]")


def save_result(
    result: AnalysisResult, out_dir: str | os.PathLike[str], name: str, *, overwrite: bool = False
) -> Path:
    """Write ``<out_dir>/<name>.json``, and beside it the arrays that the result has.

    Every file appears whole or not at all. Arrays of an earlier result of this name that the new one
    does not have are removed, and the JSON comes last: a run that is killed leaves no JSON beside
    arrays that are not its own.

    Parameters
    ----------
    result
        What to save.
    out_dir
        Folder; made where it is missing.
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
    json_path = Path(out_dir) / f"{name}.json"
    check_destination(out_dir, name, result.path, overwrite=overwrite)
    activ_path, embed_path = _array_paths(json_path)
    with ExitStack() as files:
        # All are written under temporary names first, and get their own in the reverse order.
        # ASCII, as the original writes: it also carries file names that are no valid Unicode.
        text = _one_line_arrays(json.dumps(to_json(result), indent=2)) + "\n"
        files.enter_context(atomic_path(json_path)).write_text(text, "ascii", newline="\n")
        if result.embeddings is not None:
            with files.enter_context(atomic_path(embed_path)).open("wb") as file:
                np.save(file, np.asarray(result.embeddings), allow_pickle=False)
        if result.activations is not None:
            with files.enter_context(atomic_path(activ_path)).open("wb") as file:
                arrays: dict[str, Any] = {key: result.activations[key] for key in ACTIVATIONS}
                np.savez(file, **arrays)
        # Until the end of the block old and new files would not belong together.
        earlier = [path for path in (activ_path, embed_path) if path.exists()]
        if earlier or result.embeddings is not None or result.activations is not None:
            for path in (json_path, *earlier):
                path.unlink(missing_ok=True)
    return json_path


def check_destination(
    out_dir: str | os.PathLike[str],
    name: str,
    source: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> None:
    """Find out before an analysis whether its result can be written.

    Parameters
    ----------
    out_dir, name, overwrite
        As for :func:`save_result`.
    source
        The input that is to be analysed.

    Raises
    ------
    OutputError
        The folder cannot be made or written to; or the name is taken by the result of another input, or by a
        JSON that is no result, and `overwrite` is not set.
    """
    folder = Path(out_dir)
    json_path = folder / f"{name}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot be made: {error.strerror or error}.",
            remedy="Name another output folder.",
            path=folder,
        ) from error
    if not os.access(folder, os.W_OK):
        raise OutputError(
            "cannot be written to.",
            remedy="Change its permissions, or name another output folder.",
            path=folder,
        )
    if overwrite or not json_path.exists():
        return
    try:
        content = _read_json(json_path)
    except OutputError:
        # Cut short by a crash, most likely; nobody can use it.
        return
    remedy = "Choose another output folder, or allow overwriting (--overwrite)."
    if not isinstance(content, dict) or not isinstance(content.get("path"), str):
        raise OutputError(
            f"is no result of an analysis, and that of {source} would take its place.",
            remedy=remedy,
            path=json_path,
        )
    # One input may have been named relatively once and absolutely the other time.
    if os.path.realpath(content["path"]) != os.path.realpath(source):
        raise OutputError(
            f"holds the result of another input, {content['path']},"
            f" and that of {source} would take its place.",
            remedy=remedy,
            path=json_path,
        )


def load_result(
    path: str | os.PathLike[str], load_activations: bool = True, load_embeddings: bool = True
) -> AnalysisResult:
    """Read a result that this package or allin1 1.1.0 has written.

    Parameters
    ----------
    path
        The JSON.
    load_activations, load_embeddings
        Also read ``<name>.activ.npz`` and ``<name>.embed.npy`` where they lie beside it.

    Returns
    -------
    AnalysisResult
        Its floats are those that were saved, to the bit.

    Raises
    ------
    OutputError
        The file is missing, damaged, not a result, or written by a newer version.
    """
    json_path = Path(path)
    content = _read_json(json_path)
    activ_path, embed_path = _array_paths(json_path)
    activations = embeddings = None
    if load_activations and activ_path.is_file():
        activations = _load_activations(activ_path)
    if load_embeddings and embed_path.is_file():
        embeddings = _load_embeddings(embed_path)
    try:
        if content.get("schema", SCHEMA) > SCHEMA:
            raise OutputError(
                f"was written by a newer version (schema {content['schema']}; this one reads {SCHEMA}).",
                remedy="Upgrade allin1-core.",
                path=json_path,
            )
        return AnalysisResult(
            path=Path(content["path"]),
            bpm=None if content["bpm"] is None else int(content["bpm"]),
            beats=[float(time) for time in content["beats"]],
            downbeats=[float(time) for time in content["downbeats"]],
            beat_positions=[int(position) for position in content["beat_positions"]],
            segments=[
                Segment(float(one["start"]), float(one["end"]), str(one["label"]))
                for one in content["segments"]
            ],
            activations=activations,
            embeddings=embeddings,
            confidence=_confidence(content.get("confidence")),
            alternatives=[TempoAlternative(**one) for one in content.get("alternatives", ())],
            warnings=[str(warning) for warning in content.get("warnings", ())],
            provenance=_provenance(content.get("provenance")),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise OutputError(
            f"is no result of an analysis ({type(error).__name__}: {error}).",
            remedy="Analyse the song again.",
            path=json_path,
        ) from error


def to_json(result: AnalysisResult) -> dict[str, Any]:
    """Give what ``<name>.json`` holds: plain numbers, strings, lists and dicts, without the arrays."""
    provenance = result.provenance
    return {
        "path": os.fspath(result.path),
        "bpm": None if result.bpm is None else int(result.bpm),
        "beats": [float(time) for time in result.beats],
        "downbeats": [float(time) for time in result.downbeats],
        "beat_positions": [int(position) for position in result.beat_positions],
        "segments": [
            {"start": float(one.start), "end": float(one.end), "label": one.label}
            for one in result.segments
        ],
        "schema": SCHEMA,
        "confidence": None if result.confidence is None else _confidence_to_json(result.confidence),
        "alternatives": [dataclasses.asdict(one) for one in result.alternatives],
        "warnings": list(result.warnings),
        "provenance": None if provenance is None else dataclasses.asdict(provenance),
    }


def _confidence_to_json(confidence: Confidence) -> dict[str, Any]:
    # JSON knows no infinity: null stands for a metre of which no path was possible.
    return {
        "beats": [float(value) for value in confidence.beats],
        "metre": None if confidence.metre is None else float(confidence.metre),
        "metre_log_probabilities": {
            str(beats): float(value) if math.isfinite(value) else None
            for beats, value in confidence.metre_log_probabilities.items()
        },
    }


def _confidence(content: dict[str, Any] | None) -> Confidence | None:
    if content is None:
        return None
    return Confidence(
        beats=[float(value) for value in content["beats"]],
        metre=None if content["metre"] is None else float(content["metre"]),
        metre_log_probabilities={
            int(beats): -math.inf if value is None else float(value)
            for beats, value in content["metre_log_probabilities"].items()
        },
    )


def _array_paths(json_path: Path) -> tuple[Path, Path]:
    """Where activations and embeddings of a result lie. The name may itself hold dots."""
    name = json_path.name.removesuffix(".json")
    return json_path.with_name(f"{name}.activ.npz"), json_path.with_name(f"{name}.embed.npy")


def _one_line_arrays(text: str) -> str:
    return _NUMBER_ARRAY.sub(lambda found: f"[{' '.join(found[1].split())}]", text)


def _provenance(content: dict[str, Any] | None) -> Provenance | None:
    if content is None:
        return None
    stages = (
        StageRecord(
            **{**one, "stages": tuple(one["stages"]), "copies": tuple(one.get("copies", ()))}
        )
        for one in content["stages"]
    )
    return Provenance(
        version=content["version"],
        model=content["model"],
        input=content["input"],
        stages=tuple(stages),
        fallbacks=tuple(content["fallbacks"]),
        outputs=tuple(content["outputs"]),
        model_version=content.get("model_version", ""),
        postprocessors=tuple(content.get("postprocessors", ())),
    )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OutputError(
            f"cannot be read: {error.strerror or error}.",
            remedy="Give the path of a result's JSON.",
            path=path,
        ) from error
    except ValueError as error:
        raise OutputError(
            f"is damaged or no JSON ({error}).", remedy="Analyse the song again.", path=path
        ) from error


def _load_activations(path: Path) -> dict[str, NDArray[np.float32]]:
    arrays = _load(path)
    if not isinstance(arrays, dict) or not arrays.keys() >= set(ACTIVATIONS):
        raise _damaged(path, f"it does not hold {', '.join(ACTIVATIONS)}")
    return {key: arrays[key] for key in ACTIVATIONS}


def _load_embeddings(path: Path) -> NDArray[np.float32]:
    array = _load(path)
    if not isinstance(array, np.ndarray):
        raise _damaged(path, "it holds several arrays, not one")
    return array


def _load(path: Path) -> Any:
    """One array, or a dict of them."""
    try:
        # Opened here because NumPy leaves open what it cannot read.
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            return dict(content) if isinstance(content, np.lib.npyio.NpzFile) else content
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, reason: object) -> OutputError:
    return OutputError(
        f"is damaged ({reason}).",
        remedy="Remove it, or analyse the song again and ask for it.",
        path=path,
    )
