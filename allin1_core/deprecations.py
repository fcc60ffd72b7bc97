"""Deprecation of names of the contract: warnings that state the release of the removal and the replacement.

What is deprecated in one minor release still works in the next, and may be removed in the one after that.

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

#: Minimum number of minor releases between the deprecation and the removal of a name.
LEAST_RELEASES = 2


class Allin1DeprecationWarning(DeprecationWarning):
    """A name of the contract is used that a later release will not have."""


@dataclass(frozen=True)
class Deprecation:
    """The deprecation of a name.

    Attributes
    ----------
    what
        The name, or a description of it.
    since, removed_in
        Releases of allin1-core: the first that warns, and the first that may lack the name.
    instead
        The replacement.

    Raises
    ------
    ValueError
        The two releases are less than :data:`LEAST_RELEASES` minor releases apart, and have the same major version.
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
        """Whether `release` may lack the name."""
        return Version(release) >= Version(self.removed_in)

    def warn(self, stacklevel: int = 2) -> None:
        """Issue the warning for the caller; `stacklevel` as for :func:`warnings.warn`."""
        warnings.warn(str(self), Allin1DeprecationWarning, stacklevel=stacklevel + 1)


def moved_names(module: str, moved: Mapping[str, tuple[Deprecation, str]]) -> Callable[[str], Any]:
    """Create the ``__getattr__`` of a module from which names have moved.

    Parameters
    ----------
    module
        Name of the module.
    moved
        For each old name, its deprecation and its new location: ``"package.module:name"``.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807 - the hook of that name
        if name not in moved:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        deprecation, target = moved[name]
        deprecation.warn()
        home, _, new = target.partition(":")
        return getattr(importlib.import_module(home), new)

    return __getattr__
