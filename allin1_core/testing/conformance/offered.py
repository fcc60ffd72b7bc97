"""Finds the record under test among those that a module of hooks provides."""

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
    """Load a plugin together with the core's own, and return these and the name that it is loaded under."""
    built_in = {module: name for name, module in BUILT_IN.items()}
    name = built_in.get(hooks, "under-test")
    extra = {} if hooks in built_in else {name: load_hooks(hooks)}
    return load_plugins(extra=extra, autoload=False, strict=strict), name


class OfferedConformance:
    """Common parts of the standard tests of records other than backends.

    Attributes
    ----------
    hooks
        What the entry point of its plugin names: the module with the hooks.
    """

    hooks: ClassVar[str]

    def find(self, kind: str, name: str, offered: Iterable[Offered[T]], plugin: str) -> Offered[T]:
        """Find the record of this name; skip the test if its requirements are not installed."""
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
    """Assert that each option has a help text."""
    mute = [option.name for option in options if not option.help]
    assert not mute, f"the options {', '.join(mute)} have no help: say in a line what each is for"
