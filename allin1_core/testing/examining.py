"""Examines a hooks module in a separate process: import time, imported modules, and whether its targets exist."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from allin1_core.plugins.collecting import Offered, Offers

#: Modules that no hooks module may import.
HEAVY = (
    *("numpy", "scipy", "torch", "mlx", "madmom", "demucs"),
    *("natten", "librosa", "tensorflow", "jax", "cupy", "onnxruntime", "pandas"),
)

#: Maximum import time of a hooks module in seconds, without the modules of the core.
MOST_IMPORT_S = 0.2

#: Maximum number of timings until the import is fast enough, as other work on the machine may slow it down.
_TRIES = 3


@dataclass(frozen=True)
class ImportReport:
    """The effect of importing a hooks module and calling its hooks in a fresh process.

    Attributes
    ----------
    seconds
        Time of the import.
    heavy
        Modules that were imported, but must not be.
    printed
        Output on stdout.
    error
        The exception that was raised; empty if none.
    """

    seconds: float
    heavy: tuple[str, ...]
    printed: str
    error: str


@dataclass(frozen=True)
class TargetReport:
    """The outcome of importing all targets of a plugin's records in a fresh process.

    Attributes
    ----------
    faults
        A sentence for each target that cannot be imported, or is not callable.
    missing
        A sentence for each record whose requirements are not installed; its targets were not imported.
    printed
        Output on stdout.
    """

    faults: tuple[str, ...]
    missing: tuple[str, ...]
    printed: str


def load_hooks(hooks: str) -> Any:
    """Import the value of an entry point: ``package.module``, or ``package.module:object``."""
    module, _, name = hooks.partition(":")
    loaded = import_module(module)
    for part in filter(None, name.split(".")):
        loaded = getattr(loaded, part)
    return loaded


@lru_cache
def examine_import(hooks: str, heavy: tuple[str, ...] = ()) -> ImportReport:
    """Import a hooks module in a fresh process, and check that it imports none of :data:`HEAVY` and `heavy`."""
    return _import_report(*_run(_IMPORT, hooks, HEAVY + heavy))


def import_time(hooks: str, most_s: float = MOST_IMPORT_S) -> float:
    """Import time of a hooks module in seconds; measured again, a few times at most, if it exceeds `most_s`."""
    best = examine_import(hooks).seconds
    for _ in range(_TRIES - 1):
        if best <= most_s:
            break
        best = min(best, _import_report(*_run(_IMPORT, hooks, ())).seconds)
    return best


def _import_report(found: dict[str, Any], printed: str) -> ImportReport:
    return ImportReport(found["seconds"], tuple(found["heavy"]), printed, found["error"])


@lru_cache
def examine_targets(hooks: str) -> TargetReport:
    """Import all targets of the records of a hooks module in a fresh process."""
    found, printed = _run(_TARGETS, hooks, ())
    return TargetReport(tuple(found["faults"]), tuple(found["missing"]), printed)


def same_path() -> dict[str, str]:
    """Environment variables of a process that can import the same modules as this one."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _run(code: str, hooks: str, heavy: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    """Run code that writes its findings as JSON, and return them with its output."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "findings.json"
        ran = subprocess.run(
            [sys.executable, "-c", code, str(file), hooks, *heavy],
            env=same_path(),
            capture_output=True,
            text=True,
            check=False,
        )
        if not file.exists():
            end = ran.stderr.strip().splitlines()[-1:] or [f"it ended with status {ran.returncode}"]
            lost = {"error": end[0], "faults": end, "missing": [], "seconds": 0.0, "heavy": []}
            return lost, ran.stdout
        return json.loads(file.read_text(encoding="utf-8")), ran.stdout


_IMPORT = """
import json, pathlib, sys, time
from allin1_core.errors import PLUGIN_FAILURES, in_full
from allin1_core.plugins.collecting import collect_commands, collect_offers
from allin1_core.plugins.loading import load_plugins
from allin1_core.testing.examining import load_hooks

file, hooks, *heavy = sys.argv[1:]
error, began = "", time.perf_counter()
try:
    plugin = load_hooks(hooks)
except PLUGIN_FAILURES as raised:
    error = in_full(raised)
seconds = time.perf_counter() - began
if not error:
    plugins = load_plugins(extra={"under-test": plugin}, autoload=False, strict=False)
    collect_offers(plugins)
    collect_commands(plugins, ())
found = {"seconds": seconds, "heavy": [m for m in heavy if m in sys.modules], "error": error}
pathlib.Path(file).write_text(json.dumps(found), encoding="utf-8")
"""

_TARGETS = """
import json, pathlib, sys
from allin1_core.testing.examining import find_target_faults
found = find_target_faults(sys.argv[2])
pathlib.Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")
"""


def find_target_faults(hooks: str) -> dict[str, list[str]]:
    """Import all targets of a plugin's records in this process."""
    from allin1_core.errors import PLUGIN_FAILURES, in_full
    from allin1_core.plugins.collecting import collect_commands, collect_offers
    from allin1_core.plugins.loading import BUILT_IN, load_plugins
    from allin1_core.selection.probing import check_needs, load_target

    faults: list[str] = []
    missing: list[str] = []
    name = next((n for n, module in BUILT_IN.items() if module == hooks), "under-test")
    extra = {} if name in BUILT_IN else {name: load_hooks(hooks)}
    plugins = load_plugins(extra=extra, autoload=False, strict=False)
    offers = collect_offers(plugins)
    commands, _ = collect_commands(plugins, ())
    own = [o.item for o in (*_offered(offers), *commands.values()) if o.plugin.name == name]
    for record in own:
        label = label_of(record)
        lacking = check_needs(record.needs) if hasattr(record, "needs") else None
        if lacking is not None:
            missing.append(f"{label}: {lacking.reason}")
            continue
        for field in ("target", "probe", "quick_probe", "reader"):
            target = getattr(record, field, None)
            if target is None:
                continue
            try:
                found = load_target(target)
            except PLUGIN_FAILURES as error:
                faults.append(
                    f"{label}: {field} {target} cannot be imported ({in_full(error)}):"
                    " name a module that exists, and a function in it"
                )
                continue
            if not callable(found):
                faults.append(f"{label}: {field} {target} is no function: name one")
    return {"faults": faults, "missing": missing}


def _offered(offers: Offers) -> Iterator[Offered[Any]]:
    """Everything that plugins provide, of any kind."""
    for field in dataclasses.fields(offers):
        value = getattr(offers, field.name)
        if field.name != "problems":
            yield from value.values() if isinstance(value, dict) else value


def label_of(record: Any) -> str:
    """Description of a record: ``Backend mine of nn``."""
    kind = type(record).__name__
    if kind == "Bridge":
        return f"Bridge {record.source} to {record.destination}"
    stages = f" of {'+'.join(record.stages)}" if kind == "Backend" else ""
    return f"{kind} {record.name}{stages}"
