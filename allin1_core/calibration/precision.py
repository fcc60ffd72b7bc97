"""What each precision of a separator was measured to lose on this machine, with the weights that a user has.

How exact half precision is depends on the weights. Where it was measured, and loses too much, the next precision takes its
place; see :class:`allin1_core.runtime.backends.Backends`.
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

#: Level of a stem over its error, in decibels, below which half precision is not used unasked.
LEAST_DB = 40.0


@dataclass(frozen=True)
class PrecisionError:
    """How far a precision of a backend is from float32.

    Attributes
    ----------
    backend
        Which backend.
    precision
        ``float16``, ``tf32``.
    conditions
        Under what it holds: those of a measurement, and the separator's model and weights.
    decibels
        For each stem, its level over that of its error; infinite where there is none, minus infinity where
        the precision overflowed.
    date
        Day, as ``2026-11-22``.
    """

    backend: str
    precision: str
    conditions: Mapping[str, str]
    decibels: Mapping[str, float]
    date: str

    @property
    def worst_db(self) -> float:
        """Of the stem that loses most."""
        return min(self.decibels.values())


def demix_conditions(conditions: Mapping[str, str], parameters: DemixParameters) -> dict[str, str]:
    """Add the separator's model and weights to what a measurement depends on."""
    return {**conditions, "model": parameters.model, "weights": parameters.weights or ""}


def demix_error_path() -> Path:
    """Path of the file: ``demix-error.json`` in the cache folder."""
    return cache_folder().parent / "demix-error.json"


def load_errors(path: Path | None = None) -> tuple[PrecisionError, ...]:
    """Read what was saved. A file that cannot be understood counts as none, and the log says so."""
    kept = read_kept(
        path or demix_error_path(),
        _understood,
        what="The errors of precisions",
        remedy="'allin1 bench --demix-error --save' makes them anew.",
    )
    return kept or ()


def _understood(content: Any) -> tuple[PrecisionError, ...]:
    return tuple(items(member(content, "errors"), "errors", _one))


def _one(value: Any, name: str) -> PrecisionError:
    # JSON knows no infinity: it is a word there.
    decibels = {
        stem: float(db) if db in ("inf", "-inf") else number(db, stem)
        for stem, db in table(member(value, "decibels"), "decibels").items()
    }
    if not decibels:
        raise DocumentError("decibels is empty")
    error: PrecisionError = read_as(PrecisionError, {**value, "decibels": {}}, name)
    return replace(error, decibels=decibels)


def save_errors(new: Iterable[PrecisionError], path: Path | None = None) -> Path:
    """Add `new` to what was saved, in place of older ones of the same.

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
    """Put TensorFloat-32 in the place of half precision where that was measured to lose too much.

    Returns
    -------
    parameters
        With ``tf32`` in the place of ``auto``, or as they were.
    reason
        A sentence where they changed, else nothing.
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
                f" {found} (measured on {one.date}). --demix-precision float16 takes it nevertheless."
            )
    return parameters, ""


def _to_json(one: PrecisionError) -> dict[str, object]:
    # JSON knows no infinity; a word stands for it.
    decibels = {
        stem: db if abs(db) != float("inf") else str(db) for stem, db in one.decibels.items()
    }
    return {**asdict(one), "decibels": decibels}


def _identity(one: PrecisionError) -> tuple[str, ...]:
    names = ("machine", "device", "model", "weights")
    return (one.backend, one.precision, *(one.conditions.get(name, "") for name in names))
