"""HTDemucs restructured for a CPU, with and without compiled parts, against Demucs' own modules."""

from __future__ import annotations

import sys
import threading
from fractions import Fraction
from types import ModuleType

import pytest
import torch
from allin1_core.contracts.demix import DemixParameters

pytest.importorskip("demucs", reason="needs Demucs: install allin1-torch[demucs]")

from demucs.demucs import DConv
from demucs.hdemucs import HDecLayer, HDemucs, HEncLayer
from demucs.htdemucs import HTDemucs
from torch.nn import functional

from allin1_backend_torch import (
    demix_cpu,
    demix_members,
    demix_models,
    demix_operations,
    demix_winograd,
)
from allin1_backend_torch.demix_precision import computing

SOURCES = ["drums", "bass", "other", "vocals"]


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread: so small a network is slower on several, especially on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["plain", "compiled"])
def kernels(request):
    if request.param == "plain":
        return demix_cpu.Kernels()
    kernels = demix_cpu.load_kernels()
    if kernels.branch is None:
        pytest.skip("runs the compiled residual branch: install allin1-cython")
    return kernels


@pytest.fixture
def kernel(kernels):
    return kernels.branch


def matters(module, seed=0):
    """Scale up residual branches, which initial scales of 1e-4 would hide, and make norms differ from 1 and 0."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, values in module.named_parameters():
            if name.endswith("scale"):
                values.uniform_(0.3, 0.6, generator=rng)
            elif "norm" in name or values.dim() == 1:
                values.add_(0.2 * torch.randn(values.shape, generator=rng))
    return module.eval()


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        sizes = {"channels": 16, "bottom_channels": 32, "t_layers": 3, "t_heads": 4}
        return matters(HTDemucs(SOURCES, **sizes, dconv_mode=3, segment=Fraction(1, 2)))


def noise(*shape):
    return 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(1))


def error(wanted, out):
    """Return the largest difference, in units of the root mean square."""
    assert out.shape == wanted.shape
    return float((out - wanted).abs().max() / wanted.square().mean().sqrt())


def test_it_equals_the_module(model, kernels):
    with computing("float32"):
        for samples in (22_050, 9001):
            segments = noise(2, 2, samples)
            wanted = model(segments)
            assert error(wanted, demix_cpu.Faster(model, kernels)(segments)) < 3e-5


def test_it_equals_the_module_at_the_real_size():
    (model,) = demix_models.load_bag(DemixParameters(weights="random:1234")).models
    with torch.no_grad():
        for name, values in model.named_parameters():
            if name.endswith(".scale"):
                values.fill_(0.3)
    segment = noise(1, 2, 100_000)
    with computing("float32"):
        wanted = model(segment)
        out = demix_cpu.Faster(model, demix_cpu.load_kernels())(segment)
    assert error(wanted, out) < 3e-5


@pytest.mark.parametrize("freq", [True, False], ids=["frequency", "time"])
@pytest.mark.parametrize("length", [1, 2, 3, 5, 30, 33])
def test_layers_of_any_length(kernel, freq, length):
    shape = (2, 6, 8, length) if freq else (2, 6, length)
    arguments = {"freq": freq, "norm": False, "dconv_kw": {"init": 1.0, "compress": 2}}
    encoder = matters(HEncLayer(6, 12, **arguments), seed=length)
    decoder = matters(HDecLayer(12, 5, **arguments), seed=length)
    last = matters(HDecLayer(12, 5, last=True, **arguments), seed=length)
    with computing("float32"):
        x = noise(*shape)
        encoded = encoder(x)
        assert error(encoded, demix_cpu._Encoder(encoder, kernel).forward(x)) < 3e-5
        for layer in (decoder, last):
            full = 4 * encoded.shape[2] if freq else length
            wanted, _ = layer(encoded, 0.5 * encoded, full)
            out = demix_cpu._Decoder(layer, kernel).forward(1.5 * encoded, full)
            assert error(wanted, out) < 3e-5


@pytest.mark.parametrize("bins", [1, 2, 3, 4, 5, 11, 32])
@pytest.mark.parametrize("rows", [4, 12, 1000])
def test_gated_convolutions_of_any_number_of_bins(bins, rows, monkeypatch):
    layer = matters(HDecLayer(16, 5, freq=True, norm=False, dconv=False), seed=bins)
    x = noise(2, 16, bins, 7)
    width = 2 * 2 * 16 * 7
    monkeypatch.setattr(demix_cpu, "CONVOLUTION_VALUES", rows // 4 * 6 * width)
    with computing("float32"):
        wanted = functional.glu(layer.rewrite(x), 1)
        assert error(wanted, demix_cpu._Decoder(layer, None)._gated_convolution(x)) < 1e-5


def test_winograd_convolutions_are_nearly_as_accurate_as_direct_ones():
    weight, bias, x = noise(64, 96, 3, 3), noise(64), noise(1, 96, 34, 50)
    kernels = demix_winograd.transform_kernel(weight)
    y = functional.conv2d(x.double(), weight.double(), bias.double(), padding=(0, 1))
    assert error(y, demix_winograd.convolve(x, kernels, bias).double()) < 1e-5


@pytest.mark.parametrize(("channels", "samples"), [(16, 1), (24, 7), (40, 333), (48, 2049)])
def test_the_compiled_branch_equals_that_of_demucs(channels, samples):
    kernel = demix_cpu.load_kernels().branch
    if kernel is None:
        pytest.skip("runs the compiled residual branch: install allin1-cython")
    branch = matters(DConv(channels, compress=8, depth=3, init=1.0), seed=channels)
    with computing("float32"):
        x = noise(channels, samples)
        wanted = branch(x[None])[0]
        demix_cpu._compiled(kernel, branch)(x.numpy(), threads=2)
    assert error(wanted, x) < 1e-5


@pytest.mark.parametrize("values", [1, 100, 1000])
def test_rows_in_parts_of_any_size_give_the_same(model, kernels, values, monkeypatch):
    segment = noise(1, 2, 22_050)
    with computing("float32"):
        wanted = model(segment)
        monkeypatch.setattr(demix_cpu, "PRODUCT_VALUES", 30 * values)
        monkeypatch.setattr(demix_cpu, "CONVOLUTION_VALUES", 30 * values)
        assert error(wanted, demix_cpu.Faster(model, kernels)(segment)) < 3e-5


def test_products_are_the_same_without_one_dnn(model, monkeypatch):
    segment = noise(1, 2, 22_050)
    with computing("float32"):
        wanted = demix_cpu.Faster(model, demix_cpu.Kernels())(segment)
        monkeypatch.setattr(demix_operations, "_linear_of_one_dnn", lambda: None)
        assert error(wanted, demix_cpu.Faster(model, demix_cpu.Kernels())(segment)) < 1e-5


def _raise(*_):
    raise RuntimeError("other arguments expected")


@pytest.mark.parametrize(
    "linear", [_raise, lambda x, weight, *_: x @ weight.T], ids=["other arguments", "other results"]
)
def test_a_product_of_one_dnn_that_works_otherwise_is_not_used(linear, monkeypatch):
    find = demix_operations._linear_of_one_dnn.__wrapped__
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", linear)
    assert find() is None


def test_the_module_is_not_modified(model, kernels):
    before = {name: values.clone() for name, values in model.state_dict().items()}
    segment = noise(1, 2, 22_050)
    with computing("float32"):
        wanted = model(segment)
        demix_cpu.Faster(model, kernels)(segment)
        assert torch.equal(model(segment), wanted)
    assert all(type(layer) is HEncLayer for layer in model.encoder)
    for name, values in model.state_dict().items():
        assert torch.equal(values, before[name])


def test_the_same_input_gives_the_same_output_and_is_not_modified(model, kernels):
    own, segment = demix_cpu.Faster(model, kernels), noise(1, 2, 22_050)
    with computing("float32"):
        one, two = own(segment), own(segment)
    assert torch.equal(one, two)
    assert torch.equal(segment, noise(1, 2, 22_050))


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_segments_side_by_side_equal_each_alone(model, kernels, threads):
    own, segments = demix_cpu.Faster(model, kernels), noise(5, 2, 22_050)
    with computing("float32"):
        wanted = torch.cat([own(segment[None]) for segment in segments])
    with computing("float32", threads):
        out = own(segments)
        assert torch.get_num_threads() == threads
        assert torch.equal(own(segments), out)
    assert error(wanted, out) < 1e-5


def test_a_failing_segment_stops_the_others_and_leaves_no_thread(model, monkeypatch):
    own = demix_cpu.Faster(model, demix_cpu.Kernels())
    calls, began = [], threading.Barrier(2, timeout=10)
    attend = demix_cpu.attend

    def failing(*args):
        calls.append(args)
        is_first = began.wait() == 0
        if is_first:
            raise MemoryError
        return attend(*args)

    monkeypatch.setattr(demix_cpu, "attend", failing)
    before = threading.active_count()
    with computing("float32", 2):
        with pytest.raises(MemoryError):
            own(noise(2, 2, 22_050))
        assert torch.get_num_threads() == 2
    assert len(calls) == 2
    assert threading.active_count() == before


def test_layers_without_a_residual_branch(kernels):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        sizes = {"channels": 8, "bottom_channels": 32, "t_layers": 1, "t_heads": 4}
        model = matters(HTDemucs(SOURCES, **sizes, dconv_mode=0, segment=Fraction(1, 2)))
    with computing("float32"):
        segment = noise(1, 2, 22_050)
        assert error(model(segment), demix_cpu.Faster(model, kernels)(segment)) < 3e-5


def test_the_separation_uses_it_only_on_a_cpu_and_for_supported_networks(monkeypatch, model):
    made = []
    monkeypatch.setattr(demix_members, "Faster", lambda *args: made.append(args) or args[0])

    def members(module, channels_last=False):
        bag = demix_models.bag_of(module)
        demix_members.ready_members(
            bag,
            DemixParameters(),
            torch.float32,
            torch.device("cpu"),
            channels_last=channels_last,
        )

    members(model)
    assert [args[0] for args in made] == [model]
    members(model, channels_last=True)
    members(HDemucs(SOURCES, channels=4, segment=1))
    assert len(made) == 1


@pytest.mark.parametrize(("name", "attribute"), [("dconv", "branch"), ("attention", "attention")])
def test_without_a_suitable_kernel_pytorch_takes_its_place(name, attribute, monkeypatch):
    def loaded():
        return getattr(demix_cpu.load_kernels(), attribute)

    name = f"allin1_backend_cython.{name}"
    monkeypatch.setitem(sys.modules, "allin1_backend_cython", ModuleType("allin1_backend_cython"))
    monkeypatch.setitem(sys.modules, "allin1_backend_cython.dconv", None)
    monkeypatch.setitem(sys.modules, "allin1_backend_cython.attention", None)
    assert demix_cpu.load_kernels() == demix_cpu.Kernels()
    abi = {"branch": demix_cpu.BRANCH_ABI, "attention": demix_cpu.ATTENTION_ABI}[attribute]
    other = ModuleType(name)
    other.is_available = lambda: True
    other.ABI = abi + 1
    monkeypatch.setitem(sys.modules, name, other)
    assert loaded() is None
    other.ABI = abi
    assert loaded() is other


def test_attention_of_a_processor_without_a_kernel_is_that_of_pytorch(model, monkeypatch):
    attention = ModuleType("allin1_backend_cython.attention")
    attention.ABI, attention.is_available = demix_cpu.ATTENTION_ABI, lambda: False
    monkeypatch.setitem(sys.modules, "allin1_backend_cython.attention", attention)
    kernels = demix_cpu.load_kernels()
    assert kernels.attention is None
    segment = noise(1, 2, 22_050)
    with computing("float32"):
        assert error(model(segment), demix_cpu.Faster(model, kernels)(segment)) < 3e-5


def compiled_attention():
    attention = demix_cpu.load_kernels().attention
    if attention is None:
        pytest.skip("runs the compiled attention: install allin1-cython, with AVX2 or AVX-512")
    return attention


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 300), (47, 129), (100, 7), (390, 511)])
@pytest.mark.parametrize(("heads", "width"), [(1, 64), (3, 8), (8, 48)])
def test_compiled_attention_equals_that_of_pytorch(queries, keys, heads, width):
    attention = demix_cpu._CompiledAttention(compiled_attention())
    channels = heads * width
    # As they come out of one product.
    q = noise(2, queries, 3 * channels)[..., :channels] * 10
    k, v = (noise(2, keys, 3 * channels) * 10)[..., channels:].chunk(2, dim=-1)
    with computing("float32"):
        wanted = demix_operations.PlainOperations().attention(q, k, v, heads)
        out = attention.attention(q, k, v, heads)
        assert out.is_contiguous()
        assert error(wanted, out) < 1e-5


def test_compiled_attention_is_used_only_for_the_widths_that_it_computes():
    calls = []
    attention = ModuleType("attention")
    attention.STEP = 8
    attention.attend = lambda *args, **_: calls.append(args) or args[-1].fill(0)
    for width, used in ((8, True), (6, False)):
        with torch.random.fork_rng(devices=[]):
            sizes = {"channels": 8, "bottom_channels": 4 * width, "t_layers": 1, "t_heads": 4}
            model = matters(HTDemucs(SOURCES, **sizes, dconv_mode=0, segment=Fraction(1, 2)))
        own = demix_cpu.Faster(model, demix_cpu.Kernels(None, attention))
        with computing("float32"):
            own(noise(1, 2, 22_050))
        assert len(calls) == (2 if used else 0)
        calls.clear()
