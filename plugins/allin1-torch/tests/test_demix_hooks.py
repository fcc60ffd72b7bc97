from __future__ import annotations

import pytest
import torch
from allin1_core.contracts.space import Space

from allin1_backend_torch import hooks
from allin1_backend_torch.demix_precision import choose_precision, computing


def test_the_stage_runs_on_each_device_and_requires_demucs():
    offered = list(hooks.allin1_demix())
    assert [b.name for b in offered] == [
        *("torch-cpu", "torch-cuda", "torch-mps"),
        "torch-cuda-triton",
    ]
    for backend in offered:
        assert backend.consumes == backend.produces == Space("torch", backend.device)
        assert "demucs>=4.1,<5" in backend.needs.requires
        assert bool(backend.speed) == (backend.name != "torch-mps")
        assert not backend.opt_in


@pytest.mark.parametrize("asked", ["auto", "float32", "tf32", "float16"])
def test_a_cpu_computes_in_single_precision(asked):
    assert choose_precision(asked, torch.device("cpu")) == "float32"


@pytest.mark.parametrize(("capability", "chosen"), [((6, 1), "float32"), ((9, 0), "float16")])
def test_auto_is_half_precision_on_gpus_that_are_faster_in_it(monkeypatch, capability, chosen):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_precision("auto", torch.device("cuda:0")) == chosen
    assert choose_precision("tf32", torch.device("cuda:0")) == "tf32"


@pytest.mark.parametrize("allowed", ["highest", "high", "medium"])
def test_products_have_the_requested_precision_whatever_the_process_allows(device, allowed):
    rng = torch.Generator().manual_seed(1)
    a = torch.randn(256, 256, generator=rng, dtype=torch.float32)
    image, kernel = a.view(1, 64, 32, 32), torch.randn(64, 64, 3, 3, generator=rng)
    exact = torch.nn.functional.conv2d(image.double(), kernel.double()).float()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(allowed)
    try:
        with computing("float32"):
            product = (a.to(device) @ a.to(device)).cpu()
            convolved = torch.nn.functional.conv2d(image.to(device), kernel.to(device)).cpu()
        assert torch.get_float32_matmul_precision() == allowed
    finally:
        torch.set_float32_matmul_precision(before)
    assert (product - (a.double() @ a.double()).float()).abs().max() < 1e-4
    assert (convolved - exact).abs().max() < 2e-4


def test_older_versions_of_pytorch_are_set_too(monkeypatch):
    # Before 2.9 there was one setting for products, one for convolutions, and none in torch.backends.mkldnn.
    monkeypatch.setattr(torch.backends, "mkldnn", object())
    before = torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("medium")
    try:
        for precision, matmul in (("float32", "highest"), ("tf32", "high"), ("float16", "highest")):
            with computing(precision):
                assert torch.get_float32_matmul_precision() == matmul
                assert torch.backends.cudnn.allow_tf32 == (precision == "tf32")
            assert torch.get_float32_matmul_precision() == "medium"
            assert torch.backends.cudnn.allow_tf32 == before
    finally:
        torch.set_float32_matmul_precision("highest")
