"""The network in Triton: compiled for an NVIDIA GPU, or else interpreted on the CPU at short lengths."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import replace
from importlib.util import find_spec, module_from_spec, spec_from_file_location

import numpy as np
import pytest
import torch
from allin1_core.contracts.logits import Logits
from allin1_core.contracts.model import Model
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.contracts.stages import Setup, Task
from allin1_core.contracts.verdict import Ready, Unavailable
from allin1_core.errors import BackendError, WeightsError
from allin1_core.testing.weights import random_model

from allin1_backend_torch import devices, network
from allin1_backend_torch.bridges import to_numpy
from allin1_backend_torch.triton_compiling import without_warp_group_products
from allin1_backend_torch.triton_network import backend, check, layout
from allin1_backend_torch.triton_network.layout import Layout
from allin1_backend_torch.triton_network.packing import MATRIX_SCALE, pack
from allin1_backend_torch.triton_network.workspace import BYTES, workspace

FIELDS = ("beat", "downbeat", "section", "function")

#: Tolerances that the backend and the one in half precision declare.
TOLERANCE, HALF_TOLERANCE = 5e-5, 2e-2

CPU = torch.device("cpu")


def random_frames(frames, device, seed=None):
    """The input that the golden outputs of random spectrograms were made from."""
    rng = np.random.default_rng(frames if seed is None else seed)
    values = np.abs(rng.standard_normal((4, frames, 81))).astype(np.float32) * np.float32(0.5)
    return LogSpectrogram(torch.from_numpy(values).to(device))


def assert_equal(actual, wanted, tolerance=TOLERANCE):
    for field in Logits.ARRAYS:
        one, other = getattr(actual, field), getattr(wanted, field)
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(
                to_numpy(one), to_numpy(other), rtol=0, atol=tolerance, err_msg=field
            )


@pytest.fixture(scope="module")
def model():
    return random_model(3)


@pytest.fixture
def cuda():
    if find_spec("triton") is None:
        pytest.skip("needs Triton, which PyTorch for CUDA includes")
    verdict = devices.probe_cuda_triton()
    if not isinstance(verdict, Ready):
        pytest.skip(f"torch-cuda-triton cannot run here: {verdict}")
    return torch.device(verdict.device)


@pytest.fixture(scope="module")
def ensemble(kernels_device):
    """The module, with kernels that run on ``ensemble.DEVICE``."""
    from allin1_backend_torch.triton_network import ensemble

    ensemble.DEVICE = kernels_device
    return ensemble


# The forward pass, compiled or interpreted.


def test_an_ensemble_equals_pytorchs_operations_and_gives_embeddings_on_request(ensemble):
    # Three frames are fewer than the instrument layer's window, and are padded in every time layer.
    device, pair = ensemble.DEVICE, random_model(3, members=2)
    spectrogram, told = random_frames(3, device), []
    call = ensemble.ready(pair.members, device, exact=True)
    wanted = network.create(Setup(str(device), pair))(spectrogram, Task(embeddings=True))
    logits = call(spectrogram, Task(embeddings=True, progress=told.append)).validate()
    assert_equal(logits, wanted)
    assert not logits.beat.is_inference()
    assert told == [1]


def test_half_precision_is_near(ensemble, model):
    # 17 frames are two tiles of the instrument layer, and are not padded in the first block.
    device = ensemble.DEVICE
    spectrogram = random_frames(17, device)
    call = ensemble.ready(model.members, device, exact=False)
    wanted = network.create(Setup(str(device), model))(spectrogram, Task())
    logits = call(spectrogram, Task())
    assert_equal(logits, wanted, HALF_TOLERANCE)
    with pytest.raises(AssertionError):
        assert_equal(logits, wanted, TOLERANCE)


KERNEL = """
import triton
import triton.language as tl
from allin1_backend_torch.triton_network.arithmetic import doubled_gelu

@triton.jit
def apply(x, y, COUNT: tl.constexpr):
    place = tl.arange(0, COUNT)
    tl.store(y + place, doubled_gelu(tl.load(x + place)))
"""


def test_gelu_has_the_stated_error_for_small_and_large_values(kernels_device, tmp_path):
    (tmp_path / "applied.py").write_text(KERNEL, encoding="utf-8")
    spec = spec_from_file_location("applied", tmp_path / "applied.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    sizes = torch.cat([torch.linspace(0, 7, 12_000), torch.logspace(-30, 4, 4384)])
    x = torch.cat([sizes, -sizes]).to(kernels_device)
    y = torch.empty_like(x)
    module.apply[(1,)](x, y, COUNT=len(x))
    wanted = x.double() * torch.special.erfc(-x.double() / 2**0.5)
    error = (y.double() - wanted).abs()
    assert error[x.abs() <= 7].max() <= 5e-7
    assert (error <= 5e-7 + 1.2e-7 * wanted.abs()).all()


def test_the_compilers_setting_is_as_before_when_compiled(monkeypatch):
    for before in (None, "0"):
        if before is None:
            monkeypatch.delenv("DISABLE_MMA_V3", raising=False)
        else:
            monkeypatch.setenv("DISABLE_MMA_V3", before)
        with without_warp_group_products():
            assert os.environ["DISABLE_MMA_V3"] == "1"
        assert os.environ.get("DISABLE_MMA_V3") == before


# Set-up, without kernels.


def test_missing_and_misshapen_parameters_are_named(model):
    good = dict(model.members[0])
    name = "encoder.layers.4.instlayer.attention.self.rpb"
    missing = {key: value for key, value in good.items() if key != name}
    misshapen = {**good, name: good[name][:, :, :7]}
    for bad in (missing, misshapen):
        with pytest.raises(WeightsError, match=name):
            backend.create(Setup(model=Model(model.card, (bad,))))


def test_a_missing_model_is_an_error():
    with pytest.raises(WeightsError, match="no parameters"):
        backend.create(Setup())


def test_exceptions_of_triton_become_backend_errors(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "allin1_backend_torch.triton_network.ensemble", None)
    with pytest.raises(BackendError, match="cannot run on cpu: ModuleNotFoundError") as caught:
        backend.create(Setup("cpu", model))
    assert "torch-cuda" in caught.value.remedy


def test_wrong_logits_do_not_pass_the_check(model):
    wanted = check.expected(model, CPU)

    def giving(rows):
        return lambda spectrogram, task: Logits(rows[0], rows[1], rows[2], rows[3:])

    check.check(giving(wanted + 1e-5), CPU, wanted, 5e-5)
    one_wrong, not_a_number = wanted.clone(), wanted.clone()
    one_wrong[7, 70] += 0.01
    not_a_number[0, 3] = torch.nan
    for wrong in (one_wrong, not_a_number):
        with pytest.raises(BackendError, match="wrong logits"):
            check.check(giving(wrong), CPU, wanted, 5e-5)


def test_two_halves_represent_a_matrix_to_22_bits(model):
    weights = pack(model.members, CPU)
    both = weights.second_matrices.high.double() + weights.second_matrices.low.double()
    kernel = model.members[0]["embeddings.conv1.weight"].reshape(24, 144).T * MATRIX_SCALE
    packed = both.view(144, 32)[:, :24].numpy()
    assert np.all(np.abs(packed - kernel) <= np.abs(kernel) * 2.0**-21 + 2.0**-25)
    assert not both.view(144, 32)[:, 24:].any()


def test_members_are_slices_of_the_weights():
    pair = random_model(5, members=2)
    both, second = pack(pair.members, CPU), pack(pair.members[1:], CPU)
    for name, value in vars(both.members(1, 2)).items():
        alone = getattr(second, name)
        tensors = [(value, alone)] if isinstance(value, torch.Tensor) else []
        tensors = tensors or [(value.high, alone.high), (value.low, alone.low)]
        for one, other in tensors:
            assert torch.equal(one, other)


def test_layouts_place_arrays_contiguously_and_refuse_other_shapes():
    places = Layout({"a": (2, 3), "b": (4,)})
    assert (places.size, places.offset("a"), places.offset("b")) == (10, 0, 6)
    a, b = np.arange(6.0).reshape(2, 3), np.arange(4.0)
    np.testing.assert_array_equal(places.pack({"b": b, "a": a}), [*range(6), *range(4)])
    for wrong in ({"a": a}, {"a": a, "b": b[:3]}):
        with pytest.raises(ValueError, match="Wanted"):
            places.pack(wrong)


def test_rows_of_every_layout_are_aligned_for_wide_loads():
    # Triton compiles another kernel for a pointer that is not a multiple of 16 bytes.
    for name, value in vars(layout).items():
        if isinstance(value, Layout):
            assert value.size * (2 if name.endswith("MATRICES") else 4) % 16 == 0, name


@pytest.mark.parametrize("exact", [True, False])
def test_a_workspace_has_the_documented_size(exact):
    space = workspace(1000, 3, exact, torch.device("meta"))
    total = sum(value.nbytes for value in vars(space).values() if isinstance(value, torch.Tensor))
    assert total <= 1.001 * 3000 * BYTES
    if exact:
        assert total >= 3000 * BYTES


# The probe.


@pytest.fixture
def pretended_gpu(monkeypatch):
    monkeypatch.setattr(devices, "probe_cuda", lambda: Ready("cuda:0", "a card"))
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (8, 0))


def test_without_cuda_the_probe_gives_the_reason(monkeypatch):
    monkeypatch.setattr(devices, "probe_cuda", lambda: Unavailable("No CUDA device was found."))
    assert devices.probe_cuda_triton() == Unavailable("No CUDA device was found.")


def test_an_old_card_is_unavailable_with_a_remedy(pretended_gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (7, 5))
    verdict = devices.probe_cuda_triton()
    assert isinstance(verdict, Unavailable)
    assert "7.5" in verdict.reason
    assert "torch-cuda" in verdict.remedy


def test_a_card_of_another_manufacturer_is_unavailable(pretended_gpu, monkeypatch):
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert "NVIDIA" in devices.probe_cuda_triton().reason


def test_without_triton_the_probe_says_so(pretended_gpu, monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    verdict = devices.probe_cuda_triton()
    assert isinstance(verdict, Unavailable)
    assert "Triton cannot be imported" in verdict.reason


# On a GPU.


def test_at_every_length_it_equals_pytorchs_operations(cuda):
    pair = random_model(3, members=2)
    setup = Setup(str(cuda), pair)
    plain, exact, half = (
        create(setup) for create in (network.create, backend.create, backend.create_float16)
    )
    for frames in (*range(1, 131), 255, 256, 257, 333, 1030, 10_239, 10_241):
        spectrogram, task = random_frames(frames, cuda), Task(embeddings=True)
        wanted = plain(spectrogram, task)
        assert_equal(exact(spectrogram, task), wanted)
        assert_equal(half(spectrogram, task), wanted, HALF_TOLERANCE)


def test_members_in_groups_equal_all_members_at_once(cuda):
    three = random_model(4, members=3)
    call = backend.create(Setup(str(cuda), three)).call
    spectrogram, told = random_frames(500, cuda), []
    groups = replace(call, group_bytes=2 * 500 * BYTES)
    wanted = call(spectrogram, Task(embeddings=True))
    assert_equal(groups(spectrogram, Task(embeddings=True, progress=told.append)), wanted, 1e-6)
    assert told == [pytest.approx(2 / 3), 1]


def test_nothing_is_compiled_after_set_up(cuda, monkeypatch):
    from triton.runtime.jit import JITFunction

    call = backend.create(Setup(str(cuda), random_model(4, members=3))).call

    def fail(*arguments, **options):
        raise AssertionError("a kernel was compiled again")

    monkeypatch.setattr(JITFunction, "_do_compile", fail)
    buffer = torch.rand(4 * 81 * 70 + 1, device=cuda)
    for frames in (1, 2, 15, 16, 17, 64, 70):
        for shift in (0, 1):  # aligned, and not
            part = buffer[shift : shift + 4 * 81 * frames].view(4, frames, 81)
            groups = replace(call, group_bytes=frames * BYTES)
            for each in (call, groups):
                each(LogSpectrogram(part), Task())


def test_a_quarter_of_an_hour_fits_a_small_gpu(cuda):
    eight = random_model(4, members=8)
    spectrogram = LogSpectrogram(torch.rand(4, 100_000, 81, device=cuda))
    call = backend.create(Setup(str(cuda), eight))
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    logits = call(spectrogram, Task())
    assert torch.cuda.max_memory_allocated() - before < 3 << 29
    assert_equal(logits, network.create(Setup(str(cuda), eight))(spectrogram, Task()))


@pytest.mark.parametrize("frames", [1, 7, 100, 12_000])
def test_it_equals_the_original_on_random_spectrograms(cuda, golden, trained, frames):
    wanted = golden("random_spectrogram_fold3.npz")
    for create, tolerance in (
        (backend.create, TOLERANCE),
        (backend.create_float16, HALF_TOLERANCE),
    ):
        call = create(Setup(str(cuda), trained(3)))
        logits = call(random_frames(frames, cuda), Task(embeddings=True))
        for field in FIELDS:
            np.testing.assert_allclose(
                to_numpy(getattr(logits, field)),
                wanted[f"T{frames}_logits_{field}"],
                rtol=0,
                atol=tolerance,
            )
        np.testing.assert_allclose(
            to_numpy(logits.embeddings)[:, ::100],
            wanted[f"T{frames}_embeddings_every_100th"],
            rtol=0,
            atol=tolerance,
        )


def test_it_equals_the_original_on_a_real_song(cuda, golden, trained):
    wanted = golden("francium_excerpt.npz")
    spectrogram = LogSpectrogram(torch.from_numpy(wanted["spec_first_3000_frames"]).to(cuda))
    logits = backend.create(Setup(str(cuda), trained(*range(8))))(spectrogram, Task())
    for field in FIELDS:
        np.testing.assert_allclose(
            to_numpy(getattr(logits, field)),
            wanted[f"crop3000_ensemble_logits_{field}"],
            rtol=0,
            atol=TOLERANCE,
        )


def test_compiling_from_the_cache_logs_nothing(cuda, model, caplog):
    backend.create(Setup(str(cuda), model))
    with caplog.at_level(logging.INFO):
        backend.create(Setup(str(cuda), model))
    assert not caplog.records
