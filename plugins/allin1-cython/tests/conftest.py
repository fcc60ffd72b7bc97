"""What the tests share: the instruction sets of this processor, golden outputs and trained weights."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from allin1_backend_cython._isa import instruction_sets

from allin1_core.contracts.model import Model, ModelCard


@pytest.fixture(params=["avx512", "avx2", "sse2", "neon", "scalar"])
def isa(request: pytest.FixtureRequest) -> str:
    """Name of each instruction set that this processor runs."""
    if request.param not in instruction_sets():
        pytest.skip(f"this processor does not run {request.param}")
    return str(request.param)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Give the folder of golden outputs and trained weights."""
    named = os.environ.get("ALLIN1_SHARED_DIR")
    folder = Path(named) if named else Path(__file__).resolve().parents[4] / "shared"
    if not (folder / "golden").is_dir():
        pytest.skip(
            "needs the golden outputs and trained weights: set ALLIN1_SHARED_DIR to their folder"
        )
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


@pytest.fixture(scope="session")
def trained(shared_dir: Path) -> Callable[..., Model]:
    """Load the trained networks of these folds as a model."""

    def load(*folds: int) -> Model:
        members = []
        for fold in folds:
            path = shared_dir / "weights" / f"harmonix-fold{fold}_mlx.npz"
            with np.load(path, allow_pickle=False) as arrays:
                members.append({key: arrays[key] for key in arrays.files})
        card = ModelCard("trained", "Trained networks", (), 0.24, "see source", "all-in-one")
        return Model(card, tuple(members))

    return load
