"""The command line on a random model, without what happens to be installed."""

from __future__ import annotations

import pytest
import soundfile

from allin1_core.cli import analyze
from allin1_core.contracts.audio import SAMPLE_RATE, STEMS
from allin1_core.testing.models import model_plugin, write_random_model
from allin1_core.testing.signals import music_stems


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return folder, write_random_model(folder, seed=11)


@pytest.fixture
def random_model(monkeypatch, isolated_plugins, model_folder):
    """Options of ``allin1 analyze`` for the random model."""
    folder, card = model_folder
    plugins = isolated_plugins(model=model_plugin(card))
    monkeypatch.setattr(analyze, "load_plugins", lambda ctx: plugins)
    return ["-m", "random", "--weights-dir", str(folder)]


@pytest.fixture
def song(tmp_path):
    """A folder of stems, 3 s long."""
    folder = tmp_path / "song" / "stems"
    folder.mkdir(parents=True)
    for name, samples in zip(STEMS, music_stems(3.0).samples, strict=True):
        soundfile.write(folder / f"{name}.wav", samples.T, SAMPLE_RATE, subtype="PCM_24")
    return folder
