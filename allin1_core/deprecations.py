"""How names of the contract go: with warnings that say in which release, and what to use instead.

What is deprecated in one minor release still works in the next one, and may be removed in the one after that.

>>> old = Deprecation("Backend.speedup", since="0.3", removed_in="0.5", instead="Backend.speed")
>>> print(old)
Backend.speedup is deprecated since allin1-core 0.3 and will be removed in 0.5; use Backend.speed.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.version import Version

#: Minor releases from the one that deprecates a name to the one that may remove it.
LEAST_RELEASES = 2


class Allin1DeprecationWarning(DeprecationWarning):
    """A name of the contract is used that a later release will not have."""


@dataclass(frozen=True)
class Deprecation:
    """That a name goes.

    Attributes
    ----------
    what
        The name, or words for it.
    since, removed_in
        Releases of allin1-core: the first that warns, and the first that may lack it.
    instead
        What to use.

    Raises
    ------
    ValueError
        There are fewer than :data:`LEAST_RELEASES` minor releases between the two, and no major one.
    """

    what: str
    since: str
    removed_in: str
    instead: str

    def __post_init__(self) -> None:
        first, last = Version(self.since), Version(self.removed_in)
        if last.major == first.major and last.minor < first.minor + LEAST_RELEASES:
            raise ValueError(
                f"{self.what} is removed less than {LEAST_RELEASES} releases after {first}"
            )

    def __str__(self) -> str:
        return (
            f"{self.what} is deprecated since allin1-core {self.since} and will be removed in"
            f" {self.removed_in}; use {self.instead}."
        )

    def is_due(self, release: str) -> bool:
        """Whether `release` may lack it."""
        return Version(release) >= Version(self.removed_in)

    def warn(self, stacklevel: int = 2) -> None:
        """Warn the caller; `stacklevel` as for :func:`warnings.warn`."""
        warnings.warn(str(self), Allin1DeprecationWarning, stacklevel=stacklevel + 1)


def moved_names(module: str, moved: Mapping[str, tuple[Deprecation, str]]) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a module some of whose names lie elsewhere now.

    Parameters
    ----------
    module
        Name of the module.
    moved
        For each old name its deprecation, and where it is: ``"package.module:name"``.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807 - it is one
        if name not in moved:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        deprecation, target = moved[name]
        deprecation.warn()
        home, _, new = target.partition(":")
        return getattr(importlib.import_module(home), new)

    return __getattr__
