"""What was measured on this machine, kept in the cache folder under the conditions for which it holds."""

from __future__ import annotations

import functools
import json
import logging
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.metre import MetreParameters
from allin1_core.contracts.speed import Speed
from allin1_core.contracts.verdict import Ready
from allin1_core.io.atomic import atomic_path
from allin1_core.plugins.record import PluginRecord
from allin1_core.weights.store import cache_folder

log = logging.getLogger(__name__)

_SCHEMA = 1

#: Conditions that tell one measured thing from another; where only the others differ, the newer replaces the older.
_IDENTITY = ("machine", "device", "model", "metre", "threads")


@dataclass(frozen=True)
class Measurement:
    """What a backend was measured to cost.

    Attributes
    ----------
    stage, backend
        Which backend.
    conditions
        Under what it holds; see :func:`conditions_of`.
    setup_s, rate
        Seconds once, and seconds per second of audio.
    date
        Day, as ``2026-11-22``.
    """

    stage: str
    backend: str
    conditions: Mapping[str, str]
    setup_s: float
    rate: float
    date: str

    @property
    def speed(self) -> Speed:
        """As a speed, whose evidence says when."""
        return Speed(
            self.conditions["device"], self.setup_s, self.rate, f"measured here on {self.date}"
        )


def conditions_of(
    backend: Backend[Any],
    plugin: PluginRecord,
    ready: Ready,
    *,
    model: str,
    metre: MetreParameters,
    threads: int | None,
) -> dict[str, str]:
    """Tell what a measurement depends on.

    That is the machine, the device and what the probe says of it, the versions of the core, the plugin and the
    libraries that the backend needs, the number of threads, for the network the model's size, and for the metre decoder
    what makes the number of its states.
    """
    versions = [f"allin1-core {_version('allin1-core')}"]
    if plugin.distribution:
        versions.append(f"{plugin.distribution} {plugin.version}")
    for text in backend.needs.requires:
        name = Requirement(text).name
        installed = _version(name)
        if installed:  # else its marker leaves it out here
            versions.append(f"{name} {installed}")
    return {
        "machine": machine(),
        "device": ready.device,
        "detail": ready.detail,
        "versions": ", ".join(sorted(set(versions))),
        "model": model if "nn" in backend.stages else "",
        "metre": _states(metre) if "metrical_dbn" in backend.stages else "",
        "threads": "" if threads is None else str(threads),
    }


def _states(metre: MetreParameters) -> str:
    """Words for what the number of the decoder's states depends on."""
    metres = ", ".join(str(beats) for beats in metre.beats_per_bar)
    tempi = "all" if metre.num_tempi is None else metre.num_tempi
    return f"{metres} beats, {metre.min_bpm:g} to {metre.max_bpm:g} bpm, {tempi} tempi"


@functools.cache
def machine() -> str:
    """Words for this machine: system, processor, and number of cores."""
    return (
        f"{platform.system()} {platform.machine()}, {_processor()}, {os.cpu_count()} cores,"
        f" Python {platform.python_version()}"
    )


def calibration_path() -> Path:
    """Path of the file: ``calibration.json`` in the cache folder."""
    return cache_folder().parent / "calibration.json"


def load_measurements(path: Path | None = None) -> tuple[Measurement, ...]:
    """Read what was saved. A file that cannot be understood counts as none, and the log says so."""
    path = path or calibration_path()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != _SCHEMA:
            raise ValueError(f"its schema is {content['schema']}")
        found = tuple(Measurement(**one) for one in content["measurements"])
        for one in found:
            if not (one.setup_s >= 0 and one.rate >= 0 and one.conditions["device"]):
                raise ValueError(f"{one.stage}={one.backend} has values out of range")
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning(
            "The calibration in %s cannot be used (%s); 'allin1 bench --save' makes it anew.",
            path,
            error,
        )
        return ()
    return found


def save_measurements(new: Iterable[Measurement], path: Path | None = None) -> Path:
    """Add `new` to what was saved, in place of older ones of the same backends.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    path = path or calibration_path()
    kept = {_identity(one): one for one in load_measurements(path)}
    kept |= {_identity(one): one for one in new}
    content = {"schema": _SCHEMA, "measurements": [asdict(one) for one in kept.values()]}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def find_speed(
    measurements: Iterable[Measurement], backend: Backend[Any], conditions: Mapping[str, str]
) -> Speed | None:
    """Look up what was measured of `backend` under exactly these conditions."""
    for one in measurements:
        if (one.stage, one.backend) == (backend.stage, backend.name) and one.conditions == dict(
            conditions
        ):
            return one.speed
    return None


def _identity(one: Measurement) -> tuple[str, ...]:
    return (one.stage, one.backend, *(one.conditions.get(name, "") for name in _IDENTITY))


@functools.cache
def _version(name: str) -> str:
    """Version of an installed distribution, asked for once; empty where there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    """Name of the processor; Linux keeps it apart from what Python knows."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
