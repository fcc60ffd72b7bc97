"""Isolation of all tests from the user's settings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

pytest_plugins = ["allin1_core.testing.fixtures", "allin1_core.testing.golden"]

# Other work on the machine must not decide whether a test passes.
settings.register_profile("allin1", deadline=None)
settings.load_profile("allin1")


@pytest.fixture(autouse=True, scope="session")
def _own_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whoever runs the tests may have chosen and measured backends for themselves; the tests must not see that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALLIN1_CONFIG", "")
        patch.delenv("ALLIN1_BACKEND", raising=False)
        patch.setenv("ALLIN1_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        # Most tests are about what is computed; those of the cache set a limit.
        patch.setenv("ALLIN1_CACHE_LIMIT", "0")
        yield
