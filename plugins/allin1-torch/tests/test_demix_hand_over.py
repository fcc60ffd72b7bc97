"""If a GPU has no memory for even one segment, the CPU is the fallback, and finished stages are kept."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import torch
from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.speed import Speed
from allin1_core.io.mix import MixFile
from allin1_core.markers import hookimpl
from allin1_core.plugins.loading import load_plugins
from allin1_core.reference import spectrogram
from allin1_core.runtime import streaming
from allin1_core.runtime.session import Session
from allin1_core.testing.models import RANDOM_MODEL, model_plugin, write_random_model

pytest.importorskip("demucs", reason="needs Demucs: install allin1-torch[demucs]")

from allin1_backend_torch import demix, hooks


@pytest.fixture
def session(small_folder, tmp_path, monkeypatch):
    """A session whose first choice is a separator on a simulated device that runs out of memory after two segments."""
    monkeypatch.setenv("ALLIN1_CONFIG", "")
    monkeypatch.delenv("ALLIN1_BACKEND", raising=False)
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "cache"))
    sizes = []

    def create(setup):
        separation = replace(demix.create(setup), batch_size=4)
        (member,) = separation.members("float32")

        def full(segments):
            sizes.append(len(segments))
            if sum(sizes) > 6:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
            return member.forward(segments)

        members = {"float32": [replace(member, forward=full)]}
        return replace(separation, _members=members)

    module = ModuleType("full_device")
    module.create = create
    monkeypatch.setitem(sys.modules, module.__name__, module)
    cpu = next(b for b in hooks.allin1_demix() if b.name == "torch-cpu")
    gpu = replace(cpu, name="gpu", target="full_device:create", speed=(Speed("cpu", 0, 1e-6, "x"),))
    plugin = ModuleType("full_plugin")
    plugin.allin1_demix = hookimpl(lambda: [gpu])
    card = write_random_model(tmp_path)
    extra = {"model": model_plugin(card), "full": plugin, "torch": hooks}
    plugins = load_plugins(extra=extra, autoload=False)
    parameters = DemixParameters(model="thin", weights=str(small_folder))
    with Session(
        RANDOM_MODEL,
        weights_dir=str(tmp_path),
        demix=parameters,
        threads=1,
        plugins=plugins,
    ) as session:
        yield session, sizes


def noise():
    return (0.1 * np.random.default_rng(0).standard_normal((2, 120_000))).astype(np.float32)


@pytest.mark.parametrize("streamed", [False, True])
def test_another_device_is_the_fallback_with_a_warning(
    session, streamed, caplog, monkeypatch, tmp_path
):
    session, sizes = session
    start = Mix(noise())
    if streamed:
        import soundfile

        monkeypatch.setattr(streaming, "STREAMED_FROM_S", 1.0)
        soundfile.write(tmp_path / "song.wav", noise().T, 44_100, subtype="FLOAT")
        start = MixFile(tmp_path / "song.wav")
    with caplog.at_level(logging.INFO):
        run = session.run(start, outputs=["logits"])
    # Batches are halved until not even one segment fits.
    assert sizes == [4, 4, 2, 1]
    assert caplog.text.count("Out of memory with") == 2
    other = "torch-cuda" if torch.cuda.is_available() else "torch-cpu"
    assert run.records[0].backend == other
    (told,) = run.fallbacks
    assert "demix=gpu of plugin " in told
    assert " failed and was replaced: OutOfMemoryError" in told
    assert told in caplog.text
    calls = len(sizes)
    # The next song may be shorter, and tries the device again.
    assert not session.engine.chooser.failures
    assert len(session.run(start, outputs=["logits"]).fallbacks) == 1
    assert len(sizes) > calls


def test_stems_are_kept_when_a_later_stage_runs_out_of_memory(session, monkeypatch):
    session, _ = session
    separated = []

    def remember(self, mix, task):
        separated.append(mix)
        return Stems(torch.zeros(4, *mix.samples.shape))

    monkeypatch.setattr(demix.Separation, "__call__", remember)

    def without_memory(setup):
        def transform(stems, task):
            raise MemoryError

        return transform

    monkeypatch.setattr(spectrogram, "create", without_memory)
    run = session.run(Mix(noise()), outputs=["logits"])
    assert len(separated) == 1
    assert [r.backend for r in run.records[:2]] == ["gpu", "torch-cpu"]
    assert "spectrogram=reference" in run.fallbacks[0]
