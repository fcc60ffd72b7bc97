"""The markers for the hooks of plugins. Importing this module imports only pluggy.

>>> from allin1_core.markers import hookimpl
>>> @hookimpl
... def allin1_nn():
...     return []
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pluggy

if TYPE_CHECKING:
    from allin1_core.deprecations import Deprecation

Function = TypeVar("Function", bound=Callable[..., Any])

#: Name of the pluggy project and of the entry-point group, and prefix of every hook.
PROJECT = "allin1"

#: Level of the contract that is assumed for a plugin or backend that does not state one.
FIRST_LEVEL = 1

#: Levels of the contract between the core and its plugins that this core supports. A level is added when a record or
#: hook gains a meaning that an older core would misinterpret; it is dropped only after a release that warned about it.
SUPPORTED_LEVELS: tuple[int, ...] = (1,)

#: Supported levels that a later release will not support. Plugins of such a level are loaded with a warning.
DEPRECATED_LEVELS: dict[int, Deprecation] = {}

#: The newest supported level.
API_LEVEL = max(SUPPORTED_LEVELS)


def level_problem(level: int) -> tuple[str, str] | None:
    """Return why `level` cannot be used and the remedy, a sentence each; None if it can be used."""
    if level in SUPPORTED_LEVELS:
        return None
    levels = " and ".join(map(str, SUPPORTED_LEVELS))
    reason = (
        f"It was written for level {level} of the plugin contract; this core supports {levels}."
    )
    if level > API_LEVEL:
        from allin1_core.installing import install_command

        upgrade = install_command("allin1-core", options="--upgrade")
        return reason, f"Upgrade the core: {upgrade}"
    return reason, "Upgrade the plugin."


hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Hookimpl(Protocol):
    """The type of ``hookimpl(…)`` with options, for :mod:`allin1_core.mypy_plugin`."""

    def __call__(self, function: Function, /) -> Function:
        """Mark `function`."""
        ...


class OptionalHookimpl(Protocol):
    """The type of ``hookimpl(optionalhook=True)``, for :mod:`allin1_core.mypy_plugin`."""

    def __call__(self, function: Function, /) -> Function:
        """Mark `function`."""
        ...
