"""The song and the golden outputs, if available, and a way to hide an installed madmom."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec

import pytest
from allin1_core.contracts.verdict import Ready

from allin1_backend_madmom import probe
from allin1_backend_madmom.provider import PACKAGES

pytest_plugins = ["allin1_core.testing.fixtures", "allin1_core.testing.golden"]


@pytest.fixture(params=PACKAGES)
def madmom(request: pytest.FixtureRequest, hide: Callable[[str], None]) -> str:
    """Name of each installed madmom; the others are hidden."""
    if find_spec(PACKAGES[request.param]) is None:
        pytest.skip(f"{request.param} is not installed")
    for name, package in PACKAGES.items():
        if name != request.param:
            hide(package)
    return request.param


@pytest.fixture
def networks() -> str:
    """Return the trained networks in use, or skip the test if there are none."""
    verdict = probe.check_networks()
    if not isinstance(verdict, Ready):
        reason = getattr(verdict, "reason", str(verdict))
        pytest.skip(f"needs madmom's trained networks: {reason}")
    return verdict.detail


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that hides an installed package."""

    def hide_package(package: str) -> None:
        for name in list(sys.modules):
            if name.partition(".")[0] == package:
                monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)

    return hide_package
