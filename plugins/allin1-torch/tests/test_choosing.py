"""What is chosen on a machine with an NVIDIA GPU, which is pretended, with the shipped figures."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from allin1_core import Session
from allin1_core.contracts.verdict import Ready, StartUp, Unavailable

from allin1_backend_torch import devices, looking

pytestmark = pytest.mark.skipif(
    find_spec("demucs") is None or find_spec("triton") is None, reason="needs Demucs and Triton"
)


@pytest.fixture
def explained(monkeypatch):
    """Return a function that says for a model and seconds of audio which backend is chosen for each stage, and the decision."""

    def make(model, seconds, capability=(9, 0)):
        start_ups = (StartUp("torch", 2.5),)
        found = Ready("cuda:0", "a card", start_ups), looking.Gpu("a card", capability)
        monkeypatch.setattr(looking, "_find_gpu", lambda: found)
        monkeypatch.setattr(devices, "probe_cuda", lambda: Ready("cuda:0", "a card"))
        monkeypatch.setattr(torch.version, "hip", None)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capability)
        with Session(model=model) as session:
            # As in a process of its own: other tests import Triton.
            session.engine.chooser._probes._started.discard("triton")
            decision = session.explain(seconds)
        return {step.backend.stage: step.backend.name for step in decision.chosen.steps}, decision

    return make


@pytest.mark.parametrize(
    ("model", "songs", "nn"),
    [
        ("builtin", 1, "torch-cuda"),
        ("builtin", 5, "torch-cuda-triton"),
        ("harmonix-all", 1, "torch-cuda"),
        ("harmonix-all", 3, "torch-cuda-triton"),
    ],
)
def test_kernels_of_the_network_are_chosen_for_batches(explained, model, songs, nn):
    names, _ = explained(model, 180.0 * songs)
    assert names["nn"] == nn


def test_kernels_of_the_separation_are_chosen_for_batches(explained):
    assert explained("harmonix-all", 180.0)[0]["demix"] == "torch-cuda"
    assert explained("harmonix-all", 20 * 180.0)[0]["demix"] == "torch-cuda-triton"


def test_an_older_gpu_separates_without_kernels_for_a_reason_that_is_given(explained):
    names, decision = explained("harmonix-all", 20 * 180.0, (7, 5))
    assert names["demix"] == names["nn"] == "torch-cuda"
    assert "The compute capability of the GPU is 7.5" in str(decision)


def test_without_triton_the_separation_does_without_for_a_reason_that_is_given(
    explained, monkeypatch
):
    missing = Unavailable("Triton cannot be imported: no module.", "Install triton.")
    monkeypatch.setattr(devices, "probe_cuda_triton", lambda: missing)
    names, decision = explained("harmonix-all", 20 * 180.0)
    assert names["demix"] == names["nn"] == "torch-cuda"
    assert "Triton cannot be imported: no module." in str(decision)
