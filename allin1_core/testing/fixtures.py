"""Fixtures for pytest if its entry points are not loaded: ``pytest_plugins = ["allin1_core.testing.fixtures"]``.

Usually this is not needed; see :mod:`allin1_core.testing.pytest_plugin`.
"""

from __future__ import annotations

from allin1_core.testing.pytest_plugin import isolated_plugins as isolated_plugins
from allin1_core.testing.pytest_plugin import make_plugin as make_plugin
from allin1_core.testing.pytest_plugin import run_allin1 as run_allin1
