"""The public names that plugins and programs may rely on, and a comparison with the last release.

    python scripts/public_names.py          prints the names of the last release that are missing in this tree
    python scripts/public_names.py --write  records the names of this tree, for a release

docs/contract.md lists the public modules. The names of the last release are in tests/contracts/released_names.json.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import pkgutil
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RELEASED = ROOT / "tests" / "contracts" / "released_names.json"

#: The package all of whose modules are public.
WHOLE = "allin1_core.contracts"

#: The module of which only classes are public, and only their members that a subclass defines.
TESTS = "allin1_core.testing.conformance"

Names = dict[str, dict[str, Any]]


def public_modules() -> list[str]:
    """List the modules that docs/contract.md names, and those in :data:`WHOLE`."""
    text = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    modules = []
    for name in re.findall(r"^\| `(allin1_core[\w.]*)` \|", text, re.MULTILINE):
        modules.append(name)
        if name == WHOLE:
            paths = importlib.import_module(name).__path__
            modules += [one.name for one in pkgutil.iter_modules(paths, f"{name}.")]
    return modules


def public_names() -> Names:
    """Describe every public name of every public module."""
    return {name: names_of(importlib.import_module(name)) for name in public_modules()}


def names_of(module: ModuleType) -> dict[str, Any]:
    """Describe the public names that `module` defines."""
    defined = getattr(module, "__all__", None) or _defined_in(module)
    found = {name: getattr(module, name) for name in sorted(defined) if name[0] != "_"}
    if module.__name__ == TESTS:
        found = {name: value for name, value in found.items() if isinstance(value, type)}
    return {name: describe(value) for name, value in found.items()}


def _defined_in(module: ModuleType) -> list[str]:
    names = []
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            names.append(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names += [target.id for target in targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.ImportFrom):  # handed on where it says so: import x as x
            names += [one.name for one in node.names if one.asname == one.name]
    return [name for name in names if not isinstance(getattr(module, name), ModuleType)]


def describe(value: Any) -> Any:
    """The public interface of a name: parameters of functions, fields and methods of classes."""
    if isinstance(value, type) and value.__module__.startswith("allin1_core"):
        members = {
            name: _parameters(member) if inspect.isfunction(member) else "attribute"
            for name in dir(value)
            for member in [inspect.getattr_static(value, name)]
            if not name.startswith(("_", "test_"))
            and any(name in vars(base) for base in value.__mro__ if _is_ours(base))
            and not (value.__module__.startswith(TESTS) and callable(member))
        }
        described: dict[str, Any] = {"members": members}
        if dataclasses.is_dataclass(value):
            described["fields"] = _parameters(value.__init__)[1:]
        return described
    if inspect.isfunction(value):
        return _parameters(value)
    return "value"


def _is_ours(kind: type) -> bool:
    return kind.__module__.startswith("allin1_core")


def _parameters(function: Any) -> list[str]:
    """Names of parameters: those with a default end in ``=``, keyword-only ones start with ``*``."""
    return [
        ("*" if one.kind is one.KEYWORD_ONLY else "")
        + one.name
        + ("" if one.default is one.empty else "=")
        for one in inspect.signature(function).parameters.values()
    ]


def lost(released: Names, now: Names) -> list[str]:
    """Return a sentence for each released name that is missing in `now`."""
    losses = []
    for module, names in released.items():
        for name, was in names.items():
            path = f"{module}.{name}"
            if name not in now.get(module, {}):
                losses.append(f"{path} is gone.")
            else:
                losses += _lost_of(path, was, now[module][name])
    return losses


def _lost_of(path: str, was: Any, now: Any) -> list[str]:
    if isinstance(was, dict) and isinstance(now, dict):
        losses = [
            loss
            for name, member in was["members"].items()
            for loss in (
                _lost_of(f"{path}.{name}", member, now["members"][name])
                if name in now["members"] or f"{name}=" in now.get("fields", ())
                else [f"{path}.{name} is gone."]
            )
        ]
        if "fields" in was:
            losses += _lost_of(path, was["fields"], now.get("fields", []))
        return losses
    if isinstance(was, list) and isinstance(now, list):
        return _lost_of_parameters(path, was, now)
    return [] if type(was) is type(now) else [f"{path} is something else."]


def _lost_of_parameters(path: str, was: list[str], now: list[str]) -> list[str]:
    losses = []
    plain = [one.strip("*=") for one in now]
    for index, one in enumerate(was):
        name = one.strip("*=")
        if name not in plain:
            losses.append(f"{path} has no {name} any more.")
            continue
        found = now[plain.index(name)]
        if one.endswith("=") and not found.endswith("="):
            losses.append(f"{path} needs {name} now.")
        if not one.startswith("*") and plain.index(name) != index:
            losses.append(f"{path} has {name} in another place.")
    known = {one.strip("*=") for one in was}
    losses += [
        f"{path} needs {one.strip('*')}, which is new."
        for one in now
        if one.strip("*=") not in known and not one.endswith("=")
    ]
    return losses


def main() -> int:
    """Compare, or write."""
    now = public_names()
    if "--write" in sys.argv[1:]:
        RELEASED.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return 0
    losses = lost(json.loads(RELEASED.read_text(encoding="utf-8")), now)
    print("\n".join(losses))
    return 1 if losses else 0


if __name__ == "__main__":
    sys.exit(main())
