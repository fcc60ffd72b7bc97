"""What every test may use: the folder of golden outputs and trained weights, where there is one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest_plugins = ["allin1_core.testing.fixtures"]


@pytest.fixture(autouse=True, scope="session")
def _own_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whoever runs the tests may have chosen and measured backends for themselves; the tests must not see that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALLIN1_CONFIG", "")
        patch.delenv("ALLIN1_BACKEND", raising=False)
        patch.setenv("ALLIN1_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def find_shared_dir() -> Path | None:
    """Folder with ``golden``, ``weights`` and ``music``, or None."""
    named = os.environ.get("ALLIN1_SHARED_DIR")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    return folder if (folder / "golden").is_dir() else None


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    folder = find_shared_dir()
    if folder is None:
        pytest.skip(
            "needs the golden outputs and trained weights: set ALLIN1_SHARED_DIR to their folder"
        )
    return folder


@pytest.fixture(scope="session")
def weights_dir(shared_dir: Path) -> Path:
    return shared_dir / "weights"


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
