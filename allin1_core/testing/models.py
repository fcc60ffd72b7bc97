"""A model with seeded random parameters, as files and as a plugin: the whole way without trained weights."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import ModuleType

from allin1_core.contracts.model import ModelCard, WeightsFile
from allin1_core.io.arrays import pack_arrays
from allin1_core.markers import hookimpl
from allin1_core.testing.weights import random_parameters

#: Name of the model.
RANDOM_MODEL = "random"


def write_random_model(folder: Path, *, seed: int = 0, members: int = 1) -> ModelCard:
    """Write the files of a random model into `folder`, and return its card."""
    files = []
    for member in range(members):
        content = pack_arrays(random_parameters(seed + member))
        name = f"random-{seed + member}.npz"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        files.append(WeightsFile(name, hashlib.sha256(content).hexdigest(), len(content)))
    return ModelCard(
        name=RANDOM_MODEL,
        summary="seeded random parameters, for tests",
        files=tuple(files),
        downbeat_threshold=0.05,
        licence="none needed",
        source="made by allin1_core.testing",
    )


def model_plugin(card: ModelCard) -> ModuleType:
    """Make a plugin that brings the model of `card`."""
    plugin = ModuleType("random_model_plugin")
    plugin.allin1_models = hookimpl(lambda: [card])  # type: ignore[attr-defined]
    return plugin
