"""What the tests share: golden outputs and trained weights where there are any, and the devices."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from allin1_core.contracts.model import Model, ModelCard
from allin1_core.contracts.verdict import Ready

from allin1_backend_torch import bridges, devices


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


@pytest.fixture(params=["cpu", "cuda", "mps"])
def device(request: pytest.FixtureRequest) -> str:
    """Name of each device that PyTorch can use here."""
    verdict = getattr(devices, f"probe_{request.param}")()
    if not isinstance(verdict, Ready):
        pytest.skip(f"torch-{request.param} cannot run here: {verdict}")
    return verdict.device


@pytest.fixture
def put(device: str) -> Callable[[Any], Any]:
    """Bring a NumPy array to the device."""
    return lambda array: bridges.from_numpy(array, device)


@pytest.fixture(scope="session")
def small_htdemucs() -> Callable[..., Any]:
    """Make an HTDemucs of a fiftieth of the size, for half a second, each of whose residual branches matters."""

    def make(seed: int = 0, sources: Any = ("drums", "bass", "other", "vocals"), **changes: Any):
        from demucs.htdemucs import HTDemucs

        sizes = {"channels": 16, "bottom_channels": 32, "t_layers": 3, "t_heads": 4}
        options = {**sizes, "dconv_mode": 3, "segment": Fraction(1, 2), **changes}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = HTDemucs(list(sources), **options).eval()
            with torch.no_grad():
                for name, values in model.named_parameters():
                    if name.endswith(".scale"):
                        values.uniform_(0.3, 0.6)
                    elif "norm" in name and values.dim() == 1:
                        values.add_(0.2 * torch.randn(values.shape))
        return model

    return make


@pytest.fixture(scope="session")
def small_folder(
    small_htdemucs: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Folder of weights, as Demucs publishes them, of a bag of one small model called ``thin``."""
    folder = tmp_path_factory.mktemp("thin")
    model = small_htdemucs()
    arguments, options = model._init_args_kwargs
    package = {
        **{"klass": type(model), "args": arguments, "kwargs": options},
        **{"state": model.state_dict(), "training_args": {}},
    }
    torch.save(package, folder / "0123abcd.th")
    (folder / "thin.yaml").write_text("models: ['0123abcd']\n", encoding="utf-8")
    return folder
