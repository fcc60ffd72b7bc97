from __future__ import annotations

import builtins
import os
import subprocess
import sys

import pytest
import torch
from allin1_core.contracts.verdict import Broken, Ready, Unavailable

from allin1_backend_torch import devices

PROBES = (devices.probe_cpu, devices.probe_cuda, devices.probe_mps)


def test_the_cpu_is_ready():
    verdict = devices.probe_cpu()
    assert isinstance(verdict, Ready)
    assert verdict.device == "cpu"
    assert torch.__version__ in verdict.detail


def test_the_module_itself_does_not_import_torch():
    code = "import sys, allin1_backend_torch.devices; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_damaged_metadata_of_another_package_does_not_prevent_importing_pytorch(tmp_path):
    damaged = tmp_path / "stranger-1.0.dist-info"
    damaged.mkdir()
    (damaged / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (damaged / "entry_points.txt").write_bytes(b"[stranger]\nx = \xff\n")
    code = "from allin1_backend_torch import devices; print(devices.probe_cpu())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("Ready(")


def test_a_build_without_cuda_is_unavailable_with_a_remedy(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    verdict = devices.probe_cuda()
    assert isinstance(verdict, Unavailable)
    assert "without CUDA" in verdict.reason
    assert verdict.remedy


def test_no_cuda_device_is_unavailable_with_a_remedy(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "12.6")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    verdict = devices.probe_cuda()
    assert isinstance(verdict, Unavailable)
    assert "No CUDA device" in verdict.reason
    assert verdict.remedy


def test_a_cuda_device_that_cannot_compute_is_broken(monkeypatch):
    def fail(device):
        raise RuntimeError("no kernel image is available for execution on the device")

    monkeypatch.setattr(torch.version, "cuda", "12.6")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(devices, "_compute", fail)
    verdict = devices.probe_cuda()
    assert isinstance(verdict, Broken)
    assert "no kernel image" in verdict.error


def test_a_build_without_mps_is_unavailable(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: False)
    assert isinstance(devices.probe_mps(), Unavailable)


def test_no_mps_device_is_unavailable(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    verdict = devices.probe_mps()
    assert isinstance(verdict, Unavailable)
    assert "No MPS device" in verdict.reason


@pytest.mark.parametrize("probe", PROBES)
def test_a_torch_that_cannot_be_imported_is_broken(probe, monkeypatch):
    real = builtins.__import__

    def fail(name, *rest):
        if name == "torch":
            raise OSError("libtorch_cpu.so: cannot open shared object file")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", fail)
    verdict = probe()
    assert isinstance(verdict, Broken)
    assert verdict.error == "OSError: libtorch_cpu.so: cannot open shared object file"
