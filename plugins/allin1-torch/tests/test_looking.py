"""What is known about PyTorch and GPUs without importing PyTorch."""

from __future__ import annotations

import ctypes
import sys

import pytest
import torch
from allin1_core.contracts.verdict import Ready, StartUp, Unavailable

from allin1_backend_torch import devices, looking

NEW = looking.Build("2.13.0+cu128", "12.8", "")


class Driver:
    """Fake of NVIDIA's driver, with one card by default."""

    def __init__(self, count=1, begun=0, version=12080, fails=""):
        self.count, self.begun, self.version, self.fails = count, begun, version, fails

    def __getattr__(self, name):
        if name == self.fails:
            return lambda *arguments: 1
        if name.startswith("cu"):
            return getattr(self, f"answer_{name}")
        raise AttributeError(name)

    def answer_cuInit(self, flags):
        return self.begun

    def answer_cuDriverGetVersion(self, number):
        number._obj.value = self.version
        return 0

    def answer_cuDeviceGetCount(self, number):
        number._obj.value = self.count
        return 0

    def answer_cuDeviceGet(self, device, ordinal):
        device._obj.value = 7 + ordinal
        return 0

    def answer_cuDeviceGetName(self, name, size, device):
        assert device.value == 7
        name.value = b"NVIDIA H100 80GB HBM3"
        return 0

    def answer_cuDeviceGetAttribute(self, number, attribute, device):
        number._obj.value = {75: 9, 76: 0}[attribute]
        return 0


@pytest.fixture
def gpu(monkeypatch):
    """Return a function that fakes a build of PyTorch and a driver."""

    def make(driver, build=NEW):
        def load(name):
            if driver is None:
                raise OSError(f"{name}: cannot open shared object file")
            return driver

        monkeypatch.setattr(looking, "find_build", lambda: build)
        monkeypatch.setattr(ctypes, "CDLL", load)

    return make


def test_the_build_is_read_as_pytorch_writes_it():
    build = looking.find_build()
    assert build.version == torch.__version__
    assert build.cuda == (torch.version.cuda or "")
    assert build.hip == (torch.version.hip or "")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("__version__ = '2.4.0'\ncuda: Optional[str] = '12.1'\nhip: Optional[str] = None\n", True),
        ('__version__ = "2.4.0"\ncuda = "12.1"\nhip = None\n', True),
        ("__version__ = '2.4.0'\ncuda = '12.1'\n", False),
        ("__version__ = compute()\ncuda = '12.1'\nhip = None\n", False),
        ("", False),
    ],
)
def test_a_version_file_of_another_form_is_ignored(text, found, tmp_path, monkeypatch):
    folder = tmp_path / "torch"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "version.py").write_text(text)
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.syspath_prepend(tmp_path)
    build = looking.find_build.__wrapped__()
    assert build == (looking.Build("2.4.0", "12.1", "") if found else None)


def test_the_cpu_has_the_same_detail_as_in_the_probe(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    quick, verdict = looking.look_for_cpu(), devices.probe_cpu()
    assert (quick.device, quick.detail) == (verdict.device, verdict.detail)
    assert quick.detail.endswith("at most 3 threads")
    assert [one.name for one in quick.start_ups] == ["torch"]


def test_the_first_gpu_is_named_together_with_its_start_up(gpu):
    gpu(Driver())
    quick = looking.look_for_cuda()
    assert (quick.device, quick.detail) == ("cuda:0", "NVIDIA H100 80GB HBM3, PyTorch 2.13.0+cu128")
    assert [one.name for one in quick.start_ups] == ["torch", "cuda-context"]
    assert all(isinstance(one, StartUp) and one.seconds > 0 for one in quick.start_ups)


def test_a_build_without_cuda_is_refused_without_loading_a_driver(gpu):
    gpu(None, looking.Build("2.13.0+cpu", "", ""))
    assert "without CUDA" in looking.look_for_cuda().reason


@pytest.mark.parametrize("driver", [None, Driver(begun=100), Driver(count=0)])
def test_no_driver_and_no_device_are_refused(gpu, driver):
    gpu(driver)
    for look in (looking.look_for_cuda, looking.look_for_cuda_triton, looking.look_for_natten_cuda):
        verdict = look()
        assert isinstance(verdict, Unavailable)
        assert "No CUDA device" in verdict.reason


@pytest.mark.parametrize(
    "driver",
    [
        Driver(begun=999),
        Driver(version=11080),
        *[
            Driver(fails=f"cu{name}")
            for name in (
                "DriverGetVersion",
                "DeviceGetCount",
                "DeviceGet",
                "DeviceGetName",
                "DeviceGetAttribute",
            )
        ],
    ],
)
def test_an_inconclusive_driver_is_left_to_pytorch(gpu, driver):
    gpu(driver)
    assert looking.look_for_cuda() is None
    assert looking.look_for_cuda_triton() is None


def test_rocm_is_left_to_pytorch(gpu):
    gpu(Driver(), looking.Build("2.13.0+rocm6", "", "6.2"))
    assert looking.look_for_cuda() is None


def test_triton_needs_an_ampere(gpu, monkeypatch):
    gpu(Driver())
    monkeypatch.setattr(looking, "triton_detail", lambda detail: f"{detail}, Triton 3.6.0")
    assert looking.look_for_cuda_triton().detail.endswith("2.13.0+cu128, Triton 3.6.0")
    monkeypatch.setattr(
        looking, "find_gpu", lambda built_for: looking.Gpu("Tesla T4", (7, 5)), raising=True
    )
    assert "7.5" in looking.look_for_cuda_triton().reason


@pytest.mark.parametrize(
    ("system", "machine", "release", "kind"),
    [
        ("linux", "x86_64", "", Unavailable),
        ("darwin", "x86_64", "14.1", Unavailable),
        ("darwin", "arm64", "13.6.1", type(None)),
        ("darwin", "arm64", "14.5", Ready),
    ],
)
def test_an_apple_gpu_is_expected_on_apples_processors(monkeypatch, system, machine, release, kind):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("platform.mac_ver", lambda: (release, ("", "", ""), machine))
    assert isinstance(looking.look_for_mps(), kind)
