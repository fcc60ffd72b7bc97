"""A session on a random model, and stems in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import soundfile

from allin1_core.contracts.audio import SAMPLE_RATE, STEMS
from allin1_core.io.stems import StemFiles, find_stems
from allin1_core.runtime.session import Session
from allin1_core.testing.models import RANDOM_MODEL, model_plugin, write_random_model
from allin1_core.testing.signals import music_stems


def write_stems(folder: Path, seconds: float = 6.0, seed: int = 0) -> StemFiles:
    folder.mkdir(parents=True, exist_ok=True)
    for name, samples in zip(STEMS, music_stems(seconds, seed=seed).samples, strict=True):
        soundfile.write(folder / f"{name}.wav", samples.T, SAMPLE_RATE, subtype="FLOAT")
    return find_stems(folder)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return folder, write_random_model(folder, seed=11)


@pytest.fixture(name="write_stems")
def write_stems_fixture():
    return write_stems


@pytest.fixture
def stems(tmp_path) -> StemFiles:
    return write_stems(tmp_path / "song")


@pytest.fixture
def make_session(isolated_plugins, model_folder):
    """Make a session on the random model, with these plugins by name besides the core's own."""
    folder, card = model_folder

    def make(*, plugins: dict[str, Any] | None = None, **options: Any) -> Session:
        loaded = isolated_plugins(model=model_plugin(card), **(plugins or {}))
        return Session(RANDOM_MODEL, weights_dir=str(folder), plugins=loaded, **options)

    return make
