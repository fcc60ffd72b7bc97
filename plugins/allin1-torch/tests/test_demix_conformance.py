"""The standard tests of separation, on each device, with a small HTDemucs from a folder of weights."""

from __future__ import annotations

import pytest
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.stages import Setup
from allin1_core.testing.conformance import DemixConformance

pytest.importorskip("demucs", reason="needs Demucs: install allin1-torch[demucs]")


class Thin(DemixConformance):
    hooks = "allin1_backend_torch.hooks"
    heavy = ("torch",)
    folder: str

    @pytest.fixture(autouse=True)
    def _weights(self, small_folder):
        type(self).folder = str(small_folder)

    def setup(self, device):
        demix = DemixParameters(model="thin", weights=self.folder, precision="float32")
        return Setup(device=device, demix=demix, threads=1)


class TestDemixOnCpu(Thin):
    backend = "torch-cpu"


class TestDemixOnCuda(Thin):
    backend = "torch-cuda"


class TestDemixOnCudaWithTriton(Thin):
    backend = "torch-cuda-triton"
    heavy = ("torch", "triton")


class TestDemixOnMps(Thin):
    backend = "torch-mps"
