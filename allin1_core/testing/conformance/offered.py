"""Finding a record under test among what a module of hooks offers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, TypeVar

import pytest

from allin1_core.contracts.options import Option
from allin1_core.plugins.collecting import Offered
from allin1_core.plugins.loading import BUILT_IN, Plugins, load_plugins
from allin1_core.selection.probing import check_needs
from allin1_core.testing.conformance.backend import assert_none_is_overridden
from allin1_core.testing.examining import load_hooks

T = TypeVar("T")


def load_alone(hooks: str, *, strict: bool = False) -> tuple[Plugins, str]:
    """Load a plugin beside the core's own, and give the name that it is loaded under."""
    built_in = {module: name for name, module in BUILT_IN.items()}
    name = built_in.get(hooks, "under-test")
    extra = {} if hooks in built_in else {name: load_hooks(hooks)}
    return load_plugins(extra=extra, autoload=False, strict=strict), name


class OfferedConformance:
    """What the standard tests of a record that is no backend have in common.

    Attributes
    ----------
    hooks
        What the entry point of its plugin names: the module with the hooks.
    """

    hooks: ClassVar[str]

    def find(self, kind: str, name: str, offered: Iterable[Offered[T]], plugin: str) -> Offered[T]:
        """Find what the plugin offers under `name`; skips the test where its needs are not met."""
        own = {str(getattr(o.item, "name", "")): o for o in offered if o.plugin.name == plugin}
        if name not in own:
            names = ", ".join(own) or "none"
            pytest.fail(f"{self.hooks} offers no {kind} {name}; it offers: {names}")
        item: Any = own[name].item
        missing = check_needs(item.needs)
        if missing is not None:
            pytest.skip(f"{name}: {missing.reason}")
        return own[name]

    def test_no_standard_test_is_missing(self) -> None:
        assert_none_is_overridden(type(self))


def assert_options_are_explained(options: Iterable[Option]) -> None:
    """Assert that each option says what it is for."""
    mute = [option.name for option in options if not option.help]
    assert not mute, f"nothing says what the options {', '.join(mute)} are for: give each a help"
