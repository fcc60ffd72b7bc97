"""Names that madmom 0.16.1 needs from Python and NumPy, but that were removed there.

On import, it uses the abstract base classes in ``collections``, ``np.float`` and similar aliases in NumPy, and its own
version from ``pkg_resources`` (which setuptools 82 removed), and it replaces parts of ``doctest``. These names are only
provided during the import. At run time, it needs ``np.float`` again: for this, only its own modules get a copy of NumPy's
namespace with these names. So the names are never in NumPy while other code runs.
"""

from __future__ import annotations

import builtins
import collections
import collections.abc
import doctest
import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any

import numpy as np

#: Aliases of built-in types that NumPy had before 1.24. ``np.bool`` was added again in 2.0, as another type.
NUMPY_ALIASES = ("bool", "int", "float", "complex", "object", "str")


@contextmanager
def old_names() -> Iterator[None]:
    """Within the block, provide the names that madmom needs on import."""
    with ExitStack() as stack:
        abstract = {name: getattr(collections.abc, name) for name in collections.abc.__all__}
        stack.enter_context(_additions(vars(collections), abstract))
        stack.enter_context(_additions(vars(np), _numpy_aliases()))
        stack.enter_context(_additions(sys.modules, {"pkg_resources": _pkg_resources()}))
        stack.enter_context(_untouched_doctest())
        yield


def give_old_numpy(package: str) -> None:
    """Replace ``np`` by a NumPy with the old aliases in all imported modules of `package`, and nowhere else."""
    old = ModuleType("numpy", "NumPy with the aliases of built-in types that it had until 1.24.")
    vars(old).update(vars(np), **_numpy_aliases())
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == package and getattr(module, "np", None) is np:
            module.np = old  # type: ignore[attr-defined]


def _numpy_aliases() -> dict[str, type]:
    return {name: getattr(builtins, name) for name in NUMPY_ALIASES if name not in vars(np)}


def _pkg_resources() -> ModuleType:
    module = ModuleType("pkg_resources")
    module.get_distribution = importlib.metadata.distribution  # type: ignore[attr-defined]
    return module


@contextmanager
def _additions(namespace: dict[str, Any], names: dict[str, Any]) -> Iterator[None]:
    """Within the block, add those of `names` that `namespace` lacks."""
    added = {name: value for name, value in names.items() if name not in namespace}
    namespace.update(added)
    try:
        yield
    finally:
        for name in added:
            namespace.pop(name, None)


@contextmanager
def _untouched_doctest() -> Iterator[None]:
    """Undo changes to ``doctest``, where madmom registers two options and replaces a class."""
    names = dict(vars(doctest))
    public = list(doctest.__all__)
    options = dict(doctest.OPTIONFLAGS_BY_NAME)
    try:
        yield
    finally:
        for name in set(vars(doctest)) - set(names):
            delattr(doctest, name)
        vars(doctest).update(names)
        doctest.__all__[:] = public
        doctest.OPTIONFLAGS_BY_NAME.clear()
        doctest.OPTIONFLAGS_BY_NAME.update(options)
