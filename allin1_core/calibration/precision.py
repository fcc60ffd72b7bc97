"""Measured errors of the precisions of separators, on this machine and with the user's weights.

The error of half precision depends on the weights. If it was measured to be too large, the next precision is used
instead; see :class:`allin1_core.runtime.backends.Backends`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from allin1_core.calibration.files import read_kept, write_kept
from allin1_core.contracts.demix import DemixParameters
from allin1_core.io.documents import DocumentError, items, member, number, read_as, table
from allin1_core.weights.store import cache_folder

#: Level of a stem relative to its error, in decibels, below which half precision is only used on request.
LEAST_DB = 40.0


@dataclass(frozen=True)
class PrecisionError:
    """The difference of a precision of a backend from float32.

    Attributes
    ----------
    Name of the backend.
        Which backend.
    precision
        ``float16``, ``tf32``.
    conditions
        Conditions under which it is valid: those of a measurement, and the separator's model and weights.
    decibels
        For each stem, its level relative to that of its error; infinite without an error, minus infinity if the
        precision overflowed.
    date
        Date of the measurement, as ``2026-11-22``.
    """

    backend: str
    precision: str
    conditions: Mapping[str, str]
    decibels: Mapping[str, float]
    date: str

    @property
    def worst_db(self) -> float:
        """Value of the stem with the largest error."""
        return min(self.decibels.values())


def demix_conditions(conditions: Mapping[str, str], parameters: DemixParameters) -> dict[str, str]:
    """Add the separator's model and weights to the conditions of a measurement."""
    return {**conditions, "model": parameters.model, "weights": parameters.weights or ""}


def demix_error_path() -> Path:
    """Path of the file: ``demix-error.json`` in the cache folder."""
    return cache_folder().parent / "demix-error.json"


def load_errors(path: Path | None = None) -> tuple[PrecisionError, ...]:
    """Read the saved errors. An invalid file counts as empty, which is logged."""
    kept = read_kept(
        path or demix_error_path(),
        _understood,
        what="The errors of precisions",
        remedy="'allin1 bench --demix-error --save' creates them again.",
    )
    return kept or ()


def _understood(content: Any) -> tuple[PrecisionError, ...]:
    return tuple(items(member(content, "errors"), "errors", _one))


def _one(value: Any, name: str) -> PrecisionError:
    # JSON has no infinity: it is represented by a word.
    decibels = {
        stem: float(db) if db in ("inf", "-inf") else number(db, stem)
        for stem, db in table(member(value, "decibels"), "decibels").items()
    }
    if not decibels:
        raise DocumentError("decibels is empty")
    error: PrecisionError = read_as(PrecisionError, {**value, "decibels": {}}, name)
    return replace(error, decibels=decibels)


def save_errors(new: Iterable[PrecisionError], path: Path | None = None) -> Path:
    """Add `new` to the saved errors, replacing older ones of the same backend, precision and weights.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    path = path or demix_error_path()
    kept = {_identity(one): one for one in (*load_errors(path), *new)}
    write_kept(path, {"errors": [_to_json(one) for one in kept.values()]})
    return path


def without_what_loses_too_much(
    parameters: DemixParameters,
    backend: str,
    conditions: Mapping[str, str],
    errors: Iterable[PrecisionError],
) -> tuple[DemixParameters, str]:
    """Replace half precision by TensorFloat-32 if it was measured to lose too much.

    Returns
    -------
    parameters
        With ``tf32`` instead of ``auto``, or unchanged.
    reason
        A sentence if they changed, otherwise empty.
    """
    wanted = demix_conditions(conditions, parameters)
    if parameters.precision != "auto":
        return parameters, ""
    for one in errors:
        is_it = (one.backend, one.precision, dict(one.conditions)) == (backend, "float16", wanted)
        if is_it and one.worst_db < LEAST_DB:
            found = (
                "overflowed"
                if one.worst_db == float("-inf")
                else f"had its worst stem {one.worst_db:.1f} dB above its error, not {LEAST_DB:g}"
            )
            return replace(parameters, precision="tf32"), (
                f"demix={backend} computes in TensorFloat-32: in half precision {parameters.model}"
                f" {found} (measured on {one.date}). --demix-precision float16 uses it regardless."
            )
    return parameters, ""


def _to_json(one: PrecisionError) -> dict[str, object]:
    # JSON has no infinity: it is represented by a word.
    decibels = {
        stem: db if abs(db) != float("inf") else str(db) for stem, db in one.decibels.items()
    }
    return {**asdict(one), "decibels": decibels}


def _identity(one: PrecisionError) -> tuple[str, ...]:
    names = ("machine", "device", "model", "weights")
    return (one.backend, one.precision, *(one.conditions.get(name, "") for name in names))
