"""What the tests share: golden outputs and trained weights where there are any, and the devices."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from allin1_core.contracts.model import Model, ModelCard
from allin1_core.contracts.verdict import Ready

from allin1_backend_mlx import bridges, devices


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    named = os.environ.get("ALLIN1_SHARED_DIR")
    folder = Path(named) if named else Path(__file__).resolve().parents[4] / "shared"
    if not (folder / "golden").is_dir():
        pytest.skip(
            "needs the golden outputs and trained weights: set ALLIN1_SHARED_DIR to their folder"
        )
    return folder


@pytest.fixture(scope="session")
def golden(shared_dir: Path) -> Callable[[str], Any]:
    """Load the arrays of ``golden/<name>``."""

    def load(name: str) -> Any:
        with np.load(shared_dir / "golden" / name, allow_pickle=False) as arrays:
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


@pytest.fixture(params=["cpu", "gpu"])
def device(request: pytest.FixtureRequest) -> str:
    """Name of each device that MLX can use here."""
    probe = {"cpu": devices.probe_cpu, "gpu": devices.probe_gpu_in_float32}[request.param]
    verdict = probe()
    if not isinstance(verdict, Ready):
        pytest.skip(f"mlx-{request.param} cannot run here: {verdict}")
    return verdict.device


@pytest.fixture
def put(device: str) -> Callable[[Any], Any]:
    """Bring a NumPy array to MLX."""
    return lambda array: bridges.from_numpy(array, device)
