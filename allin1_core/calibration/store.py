"""Measurements on this machine, stored in the cache folder with the conditions under which they are valid."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from allin1_core.calibration.files import read_kept, write_kept
from allin1_core.calibration.measurements import BridgeMeasurement, Measurement
from allin1_core.io.documents import DocumentError, member, read_as
from allin1_core.weights.store import cache_folder

#: Conditions that identify what was measured; if only others differ, the newer measurement replaces the older.
_IDENTITY = ("machine", "device", "demix", "model", "metre", "threads")


@dataclass(frozen=True)
class Calibration:
    """All measurements.

    Attributes
    ----------
    backends, bridges
        The latest measurement of each backend or bridge under its conditions.
    """

    backends: tuple[Measurement, ...] = ()
    bridges: tuple[BridgeMeasurement, ...] = ()

    def updated(self, new: Calibration) -> Calibration:
        """Replace older measurements of the same backends and bridges by `new`."""
        backends = {_identity(one): one for one in (*self.backends, *new.backends)}
        bridges = {_identity(one): one for one in (*self.bridges, *new.bridges)}
        return Calibration(tuple(backends.values()), tuple(bridges.values()))


def calibration_path() -> Path:
    """Path of the file: ``calibration.json`` in the cache folder."""
    return cache_folder().parent / "calibration.json"


def load_calibration(path: Path | None = None) -> Calibration:
    """Read the saved measurements. An invalid file counts as empty, which is logged."""
    kept = read_kept(
        path or calibration_path(),
        _understood,
        what="The calibration",
        remedy="'allin1 bench --save' creates it again.",
    )
    return kept or Calibration()


def _understood(content: Any) -> Calibration:
    backends = read_as(list[Measurement], member(content, "measurements"), "measurements")
    for one in backends:
        if not (min(one.setup_s, one.rate, one.shape_s) >= 0 and one.conditions.get("device")):
            raise DocumentError(f"{one.stage}={one.backend} has values out of range")
    bridges = read_as(list[BridgeMeasurement], content.get("bridges", []), "bridges")
    for way in bridges:
        if not (way.latency_s >= 0 and way.seconds_per_byte >= 0 and way.conditions.get("device")):
            raise DocumentError(f"{way.source} to {way.destination} has values out of range")
    return Calibration(tuple(backends), tuple(bridges))


def save_calibration(new: Calibration, path: Path | None = None) -> Path:
    """Add `new` to the saved measurements, replacing older ones of the same backends and bridges.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    path = path or calibration_path()
    everything = load_calibration(path).updated(new)
    content = {
        "measurements": [asdict(one) for one in everything.backends],
        "bridges": [asdict(one) for one in everything.bridges],
    }
    write_kept(path, content)
    return path


def _identity(one: Measurement | BridgeMeasurement) -> tuple[str, ...]:
    if isinstance(one, Measurement):
        which: tuple[str, ...] = (one.stage, one.backend)
    else:
        which = (one.source, one.destination, one.target)
    return (*which, *(one.conditions.get(name, "") for name in _IDENTITY))
