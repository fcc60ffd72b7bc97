"""Fixtures for pytest: ``pytest_plugins = ["allin1_core.testing.fixtures"]``."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from allin1_core.plugins.loading import Plugins, load_plugins

_ENVIRONMENT = ("ALLIN1_BACKEND", "ALLIN1_BLOCK", "ALLIN1_DISABLE_AUTOLOAD", "ALLIN1_STRICT")


@pytest.fixture
def isolated_plugins(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plugins]:
    """Load the core's own plugins and those given, and nothing that happens to be installed.

    Call it with plugins by name: ``isolated_plugins(mine=my_package.hooks)``. Variables of the environment that
    would change what is loaded or chosen are removed for the test, and no configuration file is read.
    """
    for variable in _ENVIRONMENT:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("ALLIN1_CONFIG", "")

    def load(*, block: tuple[str, ...] = (), strict: bool = False, **plugins: object) -> Plugins:
        return load_plugins(block=block, extra=plugins, autoload=False, strict=strict)

    return load


@pytest.fixture
def make_plugin() -> Callable[..., object]:
    """Make a plugin of functions by the names of their hooks: ``make_plugin(allin1_nn=lambda: [backend])``."""
    from allin1_core.markers import hookimpl

    def make(**hooks: Callable[..., Any]) -> object:
        plugin = ModuleType("plugin_of_a_test")
        for name, function in hooks.items():
            setattr(plugin, name, hookimpl(function))
        return plugin

    return make
