"""Fixtures for golden outputs and trained weights: ``pytest_plugins = ["allin1_core.testing.golden"]``.

They are searched in the folder ``ALLIN1_SHARED_DIR`` if set, otherwise in a folder ``shared`` next to the repository. Tests
that need them are skipped if there is none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allin1_core.contracts.metre import DEFAULT_THRESHOLD
from allin1_core.contracts.model import Model, ModelCard


@pytest.fixture(scope="session")
def shared_dir(pytestconfig: pytest.Config) -> Path:
    """Folder with ``golden``, ``weights`` and ``music``."""
    named = os.environ.get("ALLIN1_SHARED_DIR")
    root = pytestconfig.rootpath
    # The root of the tests is the repository, or that of a plugin in it.
    folders = [Path(named)] if named else [parent / "shared" for parent in (root, *root.parents)]
    for folder in folders:
        if (folder / "golden").is_dir():
            return folder
    pytest.skip("needs the golden outputs and trained weights: set ALLIN1_SHARED_DIR")


@pytest.fixture(scope="session")
def weights_dir(shared_dir: Path) -> Path:
    """Folder with the trained weights."""
    return shared_dir / "weights"


@pytest.fixture(scope="session")
def golden(shared_dir: Path) -> Callable[[str], Any]:
    """Load ``golden/<name>``: a dict of arrays for .npz, the parsed object for .json."""

    def load(name: str) -> Any:
        path = shared_dir / "golden" / name
        if path.suffix == ".json":
            return json.loads(path.read_text(encoding="utf-8"))
        return _arrays(path)

    return load


@pytest.fixture(scope="session")
def trained(weights_dir: Path) -> Callable[..., Model]:
    """Load the trained networks of these folds as a model: ``trained(0, 3)``."""

    def load(*folds: int) -> Model:
        members = [_arrays(weights_dir / f"harmonix-fold{fold}_mlx.npz") for fold in folds]
        card = ModelCard(
            "trained", "Trained networks", (), DEFAULT_THRESHOLD, "see source", "all-in-one"
        )
        return Model(card, tuple(members))

    return load


def _arrays(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}
