"""A pytest plugin that is active wherever allin1-core is installed: fixtures, and a mark for the standard tests.

pytest imports this module in every run, so it imports nothing from the core until a fixture is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from allin1_core.plugins.loading import Plugins

#: The mark of the standard tests: ``pytest -m allin1_kit``, or ``-m "not allin1_kit"``.
MARK = "allin1_kit"

_PACKAGE = "allin1_core.testing.conformance"

_ENVIRONMENT = ("ALLIN1_BACKEND", "ALLIN1_BLOCK", "ALLIN1_DISABLE_AUTOLOAD", "ALLIN1_STRICT")


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line("markers", f"{MARK}: a standard test of {_PACKAGE}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the standard tests."""
    for item in items:
        function = getattr(item, "function", None)
        if getattr(function, "__module__", "").startswith(_PACKAGE):
            item.add_marker(MARK)


@pytest.fixture
def isolated_plugins(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plugins]:
    """Load the core's own plugins and the given ones, but no installed plugins.

    Call it with plugins by name: ``isolated_plugins(mine=my_package.hooks)``. Environment variables that affect
    loading or selection are removed for the test, and no configuration file is read.
    """
    from allin1_core.plugins.loading import load_plugins

    for variable in _ENVIRONMENT:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("ALLIN1_CONFIG", "")

    def load(*, block: tuple[str, ...] = (), strict: bool = False, **plugins: object) -> Plugins:
        return load_plugins(block=block, extra=plugins, autoload=False, strict=strict)

    return load


@pytest.fixture
def make_plugin() -> Callable[..., object]:
    """Create a plugin from functions by the names of their hooks: ``make_plugin(allin1_nn=lambda: [backend])``."""
    from allin1_core.markers import hookimpl

    def make(**hooks: Callable[..., Any]) -> object:
        plugin = ModuleType("plugin_of_a_test")
        for name, function in hooks.items():
            setattr(plugin, name, hookimpl(function))
        return plugin

    return make


@dataclass(frozen=True)
class Ran:
    """The outcome of a run of ``allin1``.

    Attributes
    ----------
    status
        Exit status.
    out, err
        Output on stdout and stderr.
    """

    status: int
    out: str
    err: str


#: Runs ``allin1`` with these arguments.
RunAllin1 = Callable[..., Ran]


@pytest.fixture
def run_allin1(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> RunAllin1:
    """Run the command ``allin1`` in a separate process: ``run_allin1("export", path, "--to", "mine").status``.

    The plugins that are installed are loaded; no configuration file is read, and the cache is empty.
    """
    import subprocess
    import sys

    monkeypatch.setenv("ALLIN1_CONFIG", "")
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))

    def run(*arguments: object) -> Ran:
        ran = subprocess.run(
            [sys.executable, "-m", "allin1_core", *map(str, arguments)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            check=False,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    return run
