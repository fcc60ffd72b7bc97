"""Under what a measurement holds: the machine, the device, and the versions of what takes part."""

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
    """Tell what a measurement of `backend` depends on.

    That is the machine, the device and what the probe says of it, the versions of the core, the plugin and the
    libraries that the backend needs, the number of threads, for separation its model and what makes its work, for the
    network the model's size, for the metre decoder what makes the number of its states, and the values of the options
    that the backend declares.
    """
    # A library that its marker leaves out here has no version, and is none of the conditions.
    libraries = [Requirement(text).name for text in backend.needs.requires]
    declared = ", ".join(f"{name} {value}" for name, value in sorted((options or {}).items()))
    return {
        **device_conditions(ready, plugin, libraries),
        # Most backends declare none, and what was measured of them before there were any holds.
        **({"options": declared} if declared else {}),
        "demix": _separation(demix) if "demix" in backend.stages else "",
        "model": model if "nn" in backend.stages else "",
        "metre": _states(metre) if "metrical_dbn" in backend.stages else "",
        "threads": "" if threads is None else str(threads),
    }


def device_conditions(
    ready: Ready, plugin: PluginRecord, libraries: Iterable[str]
) -> dict[str, str]:
    """Tell the conditions that depend on a device, a plugin, and those of `libraries` that are installed."""
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
    """Words for this machine: system, processor, and number of cores."""
    return (
        f"{platform.system()} {platform.machine()}, {processor()}, {os.cpu_count()} cores,"
        f" Python {platform.python_version()}"
    )


def _separation(demix: DemixParameters) -> str:
    """Words for what the work of separation depends on: neither the seed nor where the weights are."""
    segment = "its own" if demix.segment_s is None else f"{demix.segment_s:g} s"
    batch = "its own" if demix.batch_size is None else demix.batch_size
    return (
        f"{demix.model}, {demix.shifts} shifts, overlap {demix.overlap:g}, segments {segment},"
        f" precision {demix.precision}, batch {batch}"
    )


def _states(metre: MetreParameters) -> str:
    """Words for what the number of the decoder's states depends on."""
    metres = ", ".join(str(beats) for beats in metre.beats_per_bar)
    tempi = "all" if metre.num_tempi is None else metre.num_tempi
    return f"{metres} beats, {metre.min_bpm:g} to {metre.max_bpm:g} bpm, {tempi} tempi"


@functools.cache
def _version(name: str) -> str:
    """Version of an installed distribution, asked for once; empty where there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def processor() -> str:
    """Name of the processor; Linux keeps it apart from what Python knows."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
