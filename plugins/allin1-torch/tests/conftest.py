"""Shared fixtures: golden outputs and trained weights if available, and the devices."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from allin1_core.contracts.verdict import Ready

from allin1_backend_torch import bridges, devices

pytest_plugins = ["allin1_core.testing.golden"]


VERDICTS = {kind: getattr(devices, f"probe_{kind}")() for kind in ("cpu", "cuda", "mps")}


@pytest.fixture(params=[kind for kind in VERDICTS if isinstance(VERDICTS[kind], Ready)])
def device(request: pytest.FixtureRequest) -> str:
    """Name of each device that PyTorch can use here; the conformance tests report the others."""
    verdict = VERDICTS[request.param]
    assert isinstance(verdict, Ready)
    return verdict.device


@pytest.fixture
def put(device: str) -> Callable[[Any], Any]:
    """Copy a NumPy array to the device."""
    return lambda array: bridges.from_numpy(array, device)


@pytest.fixture(scope="session", autouse=True)
def _interpreted_without_a_gpu() -> Iterator[None]:
    """Have Triton's kernels interpreted; it looks where a kernel is defined, so before any test imports it."""
    with pytest.MonkeyPatch.context() as patch:
        if not isinstance(VERDICTS["cuda"], Ready):
            patch.setenv("TRITON_INTERPRET", "1")
        yield


@pytest.fixture(scope="session")
def kernels_device() -> torch.device:
    """Device of Triton's kernels: compiled on an NVIDIA GPU, else interpreted on the CPU."""
    if find_spec("triton") is None:
        pytest.skip("needs Triton to interpret its kernels; it is left out of the extras (190 MB)")
    verdict = devices.probe_cuda_triton()
    if isinstance(verdict, Ready):
        return torch.device(verdict.device)
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip(f"Triton cannot compile here: {verdict}")
    return torch.device("cpu")


@pytest.fixture(scope="session")
def small_htdemucs() -> Callable[..., Any]:
    """Return a function that makes an HTDemucs of 1/50 of the size, for half a second, with effective residual branches."""

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
    """Folder of weights, in the format of Demucs, with a bag of one small model called ``thin``."""
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
