"""Conditions under which a measurement is valid: the machine, the device, and the versions of what is involved."""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.metre import MetreParameters
from allin1_core.contracts.options import OptionValue
from allin1_core.contracts.verdict import Ready
from allin1_core.plugins.record import PluginRecord


def conditions_of(
    backend: Backend[Any],
    plugin: PluginRecord,
    ready: Ready,
    *,
    model: str,
    metre: MetreParameters,
    demix: DemixParameters,
    threads: int | None,
    options: Mapping[str, OptionValue] | None = None,
) -> dict[str, str]:
    """Return the conditions of a measurement of `backend`.

    They are the machine, the device and what the probe reports about it, the versions of the core, the plugin and the
    libraries that the backend needs, the number of threads, and the values of the options that the backend declares.
    For separation, its model and the parameters that affect its work are added, for the network the size of the model,
    and for the metre decoder the parameters that affect the number of its states.
    """
    # A library whose marker excludes it here has no version, and is not one of the conditions.
    libraries = [Requirement(text).name for text in backend.needs.requires]
    declared = ", ".join(f"{name} {value}" for name, value in sorted((options or {}).items()))
    return {
        **device_conditions(ready, plugin, libraries),
        # Most backends declare none; measurements from before options existed remain valid for them.
        **({"options": declared} if declared else {}),
        "demix": _separation(demix) if "demix" in backend.stages else "",
        "model": model if "nn" in backend.stages else "",
        "metre": _states(metre) if "metrical_dbn" in backend.stages else "",
        "threads": "" if threads is None else str(threads),
    }


def device_conditions(
    ready: Ready, plugin: PluginRecord, libraries: Iterable[str]
) -> dict[str, str]:
    """Return the conditions that depend on a device, a plugin, and those of `libraries` that are installed."""
    versions = [f"allin1-core {_version('allin1-core')}"]
    if plugin.distribution:
        versions.append(f"{plugin.distribution} {plugin.version}")
    versions += [f"{name} {_version(name)}" for name in libraries if _version(name)]
    return {
        "machine": machine(),
        "device": ready.device,
        "detail": ready.detail,
        "versions": ", ".join(sorted(set(versions))),
    }


@functools.cache
def machine() -> str:
    """Description of this machine: system, processor, and number of cores."""
    return (
        f"{platform.system()} {platform.machine()}, {processor()}, {os.cpu_count()} cores,"
        f" Python {platform.python_version()}"
    )


def _separation(demix: DemixParameters) -> str:
    """Description of what affects the work of separation: neither the seed nor the location of the weights."""
    segment = "its own" if demix.segment_s is None else f"{demix.segment_s:g} s"
    batch = "its own" if demix.batch_size is None else demix.batch_size
    return (
        f"{demix.model}, {demix.shifts} shifts, overlap {demix.overlap:g}, segments {segment},"
        f" precision {demix.precision}, batch {batch}"
    )


def _states(metre: MetreParameters) -> str:
    """Description of what affects the number of the decoder's states."""
    metres = ", ".join(str(beats) for beats in metre.beats_per_bar)
    tempi = "all" if metre.num_tempi is None else metre.num_tempi
    return f"{metres} beats, {metre.min_bpm:g} to {metre.max_bpm:g} bpm, {tempi} tempi"


@functools.cache
def _version(name: str) -> str:
    """Version of an installed distribution, cached; empty if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def processor() -> str:
    """Name of the processor, which Python does not know on Linux."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
