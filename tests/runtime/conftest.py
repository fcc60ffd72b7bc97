"""A session on a random model, stems and songs in files, and backends made by tests."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from allin1_core.contracts.audio import SAMPLE_RATE, STEMS, Mix, Stems
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.speed import Speed
from allin1_core.contracts.stages import Setup, Task
from allin1_core.io.stems import StemFiles, find_stems
from allin1_core.runtime.session import Session
from allin1_core.testing.foreign import BRIDGES, FOREIGN
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
    """Make a session on the random model, with these plugins by name besides the core's own.

    `card` has changes of the model's card.
    """
    folder, own_card = model_folder

    def make(
        *,
        plugins: dict[str, Any] | None = None,
        card: dict[str, Any] | None = None,
        **options: Any,
    ) -> Session:
        model = model_plugin(replace(own_card, **(card or {})))
        loaded = isolated_plugins(model=model, **(plugins or {}))
        options = {"weights_dir": str(folder), **options}
        return Session(RANDOM_MODEL, plugins=loaded, **options)

    return make


class BySplitting:
    """A separator that gives each stem a share of the mix, whole or block by block."""

    SHARES = np.array([0.5, 0.25, 0.15, 0.1], np.float32)[:, None, None]

    def __init__(self, setup: Setup) -> None:
        self.calls = 0

    def __call__(self, mix: Mix, task: Task) -> Stems:
        self.calls += 1
        task.progress(1.0)
        return Stems(self.SHARES * mix.samples)

    def stream(self, blocks, task):
        total = sum(block.samples.shape[-1] for block in blocks())
        held, done = np.zeros((2, 0), np.float32), 0
        for block in blocks():
            held = np.concatenate([held, block.samples], axis=-1)
            size = max(1, held.shape[-1] - 1000)
            yield Stems(self.SHARES * held[:, :size])
            held, done = held[:, size:], done + size
            task.progress(done / total)
        if held.shape[-1]:
            yield Stems(self.SHARES * held)
        task.progress(1.0)


@pytest.fixture
def separator():
    return BySplitting


@pytest.fixture
def backend_plugin(make_plugin, monkeypatch):
    """Make a plugin with backends, each cheaper than the one before, from factories by name."""

    def make(stage, *, foreign=False, **factories):
        records = []
        for number, (name, factory) in enumerate(factories.items()):
            module = ModuleType(f"backend_{stage}_{name}")
            module.create = factory
            monkeypatch.setitem(sys.modules, module.__name__, module)
            space = {"consumes": FOREIGN, "produces": FOREIGN} if foreign else {}
            speed = (Speed("", 0.0, 1e-6 / (number + 1), "a test"),)
            target = f"{module.__name__}:create"
            streams = hasattr(factory, "stream")
            records.append(Backend(name, stage, target, speed=speed, streams=streams, **space))
        return make_plugin(**{f"allin1_{stage}": lambda: records}, allin1_bridges=lambda: BRIDGES)

    return make


@pytest.fixture
def write_song(tmp_path):
    """Write a song as a file of this length, rate and format."""

    def write(name="song.wav", seconds=8.0, rate=SAMPLE_RATE, seed=0, subtype="FLOAT") -> Path:
        mono = music_stems(seconds, seed=seed).samples.sum(axis=0)[0]
        samples = np.stack([mono, 0.8 * mono], axis=1) * 0.3
        if rate != SAMPLE_RATE:
            samples = soxr.resample(samples, SAMPLE_RATE, rate)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate, subtype=subtype if path.suffix == ".wav" else None)
        return path

    return write
