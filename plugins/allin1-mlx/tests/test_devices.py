from __future__ import annotations

import builtins
import subprocess
import sys

import mlx.core as mx
import pytest
from allin1_core.contracts.verdict import Broken, Ready, Unavailable

from allin1_backend_mlx import devices

PROBES = (devices.probe_cpu, devices.probe_gpu, devices.probe_gpu_in_float32)
ON_GPU = PROBES[1:]


@pytest.fixture
def metal(monkeypatch):
    """A Metal device whose products are those of the CPU."""
    monkeypatch.setattr(mx.metal, "is_available", lambda: True)
    monkeypatch.setattr(mx, "gpu", mx.cpu)


def test_the_cpu_is_ready():
    verdict = devices.probe_cpu()
    assert isinstance(verdict, Ready)
    assert verdict.device == "cpu"
    assert mx.__version__ in verdict.detail


def test_the_module_itself_does_not_import_mlx():
    code = "import sys, allin1_backend_mlx.devices; print('mlx' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


@pytest.mark.parametrize("probe", ON_GPU)
def test_no_metal_is_unavailable_with_a_remedy(monkeypatch, probe):
    monkeypatch.setattr(mx.metal, "is_available", lambda: False)
    verdict = probe()
    assert isinstance(verdict, Unavailable)
    assert "no Metal device" in verdict.reason
    assert verdict.remedy


@pytest.mark.parametrize("probe", ON_GPU)
def test_a_metal_device_that_multiplies_in_float32_is_ready(metal, probe):
    verdict = probe()
    assert isinstance(verdict, Ready)
    assert verdict.device == "gpu"


def test_a_gpu_with_reduced_precision_is_refused_if_parity_is_promised(metal, monkeypatch):
    def rounded(array):
        """Round each number to about ten bits, as TensorFloat-32 does."""
        return real(array).astype(mx.float16).astype(mx.float32)

    real = mx.array
    monkeypatch.setattr(mx, "array", rounded)
    verdict = devices.probe_gpu_in_float32()
    assert isinstance(verdict, Unavailable)
    assert "MLX_ENABLE_TF32=0" in verdict.remedy
    assert isinstance(devices.probe_gpu(), Ready)


@pytest.mark.parametrize("probe", PROBES)
def test_an_mlx_that_cannot_be_imported_is_broken(probe, monkeypatch):
    real = builtins.__import__

    def fail(name, *rest):
        if name.startswith("mlx"):
            raise OSError("libmlx.so: cannot open shared object file")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", fail)
    verdict = probe()
    assert isinstance(verdict, Broken)
    assert verdict.error == "OSError: libmlx.so: cannot open shared object file"
