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
            can = {"streams": hasattr(factory, "stream"), "batches": hasattr(factory, "batch")}
            records.append(Backend(name, stage, target, speed=speed, **can, **space))
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


#: A plugin whose backends stand in for the slow ones, and which does as the names of the tracks say.
STAND_IN = """
import logging, os, signal, sys, time
import numpy as np
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.logits import Logits
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.contracts.speed import Speed
from allin1_core.markers import hookimpl

def network(setup):
    def run(spectrogram, task):
        if spectrogram.frames.max() < 0.01:
            raise ValueError("as asked of a silent song")
        length = spectrogram.frames.shape[1]
        beat = np.full(length, -9, np.float32)
        beat[20::50] = 9
        task.progress(1.0)
        return Logits(beat, np.roll(beat, 7), beat - 1, np.zeros((10, length), np.float32))
    return run

@hookimpl
def allin1_postprocess_result(track, result):
    if track.startswith("dies"):
        os.kill(os.getpid(), signal.SIGSEGV if track == "dies" else signal.SIGKILL)
    if track.startswith("leaves"):
        os._exit(3)
    if track.startswith("sleeps"):
        open(os.environ["ALLIN1_TEST_FOLDER"] + f"/began-{track}-{os.getpid()}", "w").close()
        time.sleep(60)
    if track.startswith("prints"):
        print("this is no result")
        os.write(1, b"nor is this")
        logging.getLogger("allin1_core.test").warning("heard from %s", track)

@hookimpl
def allin1_nn():
    return [Backend("stand-in", "nn", "stand_in_plugin:network", speed=(Speed("", 0, 1e-9, "a test"),))]
"""


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Install a plugin as workers see it: on the path, with an entry point."""
    folder = tmp_path / "site"
    info = folder / "stand_in-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stand-in\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[allin1]\nstand-in = stand_in_plugin\n")
    (folder / "stand_in_plugin.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("ALLIN1_TEST_FOLDER", str(tmp_path))
    yield folder
    sys.modules.pop("stand_in_plugin", None)
