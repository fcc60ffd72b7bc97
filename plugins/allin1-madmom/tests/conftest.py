"""The song and the golden outputs, where they are, and a way to hide a madmom that is installed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from allin1_core.contracts.verdict import Ready

from allin1_backend_madmom import probe
from allin1_backend_madmom.provider import PACKAGES

pytest_plugins = ["allin1_core.testing.fixtures"]


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    named = os.environ.get("ALLIN1_SHARED_DIR")
    folder = Path(named) if named else Path(__file__).resolve().parents[4] / "shared"
    if not (folder / "golden").is_dir():
        pytest.skip("needs the golden outputs and the song: set ALLIN1_SHARED_DIR to their folder")
    return folder


@pytest.fixture(scope="session")
def golden(shared_dir: Path) -> Callable[[str], Any]:
    """Load ``golden/<name>``: a dict of arrays for .npz, the parsed object for .json."""

    def load(name: str) -> Any:
        path = shared_dir / "golden" / name
        if path.suffix == ".json":
            return json.loads(path.read_text(encoding="utf-8"))
        with np.load(path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}

    return load


@pytest.fixture(params=PACKAGES)
def madmom(request: pytest.FixtureRequest, hide: Callable[[str], None]) -> str:
    """Each madmom that is installed in turn, the only one that can be found."""
    if find_spec(PACKAGES[request.param]) is None:
        pytest.skip(f"{request.param} is not installed")
    for name, package in PACKAGES.items():
        if name != request.param:
            hide(package)
    return request.param


@pytest.fixture
def networks() -> str:
    """Skip where there are no trained networks; what is used, where there are."""
    verdict = probe.check_networks()
    if not isinstance(verdict, Ready):
        reason = getattr(verdict, "reason", str(verdict))
        pytest.skip(f"needs madmom's trained networks: {reason}")
    return verdict.detail


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let a package seem not to be installed."""

    def hide_package(package: str) -> None:
        for name in list(sys.modules):
            if name.partition(".")[0] == package:
                monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)

    return hide_package
