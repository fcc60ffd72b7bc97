"""The separation's kernels against PyTorch's operations: compiled on an NVIDIA GPU, else interpreted, on small arrays."""

from __future__ import annotations

import sys
from fractions import Fraction
from functools import partial

import pytest
import torch
from allin1_core.contracts.audio import Mix
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.stages import Task
from allin1_core.errors import BackendError

pytest.importorskip("demucs", reason="needs Demucs: install allin1-torch[demucs]")

from allin1_backend_torch.demix import Separation
from allin1_backend_torch.demix_models import bag_of, load_bag
from allin1_backend_torch.demix_network import Network
from allin1_backend_torch.demix_operations import PlainOperations, Spread
from allin1_backend_torch.demix_parameters import Affine, Norm, Residual, lay_out
from allin1_backend_torch.demix_precision import computing
from allin1_backend_torch.triton_demix import backend
from allin1_backend_torch.triton_demix.check import check, noise

#: Of float32, and of half precision, against values of about 1.
TOLERANCES = {torch.float32: 2e-5, torch.float16: 6e-3}

PLAIN = PlainOperations()

CPU = torch.device("cpu")

#: Of a network: what is interpreted takes a millisecond for each program.
SMALL = {"nfft": 128, "depth": 2, "segment": Fraction(1, 64)}


@pytest.fixture(scope="module")
def fused(kernels_device):
    """The operations' module."""
    from allin1_backend_torch.triton_demix import operations

    operations.DEVICE = kernels_device
    return operations


@pytest.fixture(params=[torch.float32, torch.float16], ids=["float32", "float16"])
def dtype(request):
    return request.param


@pytest.fixture(autouse=True)
def exact():
    with computing("float32", 1):
        yield


class Random:
    """Makes arrays by a seed on a device, in a type."""

    def __init__(self, fused, dtype, seed=0):
        self.rng = torch.Generator().manual_seed(seed)
        self.device, self.dtype = fused.DEVICE, dtype

    def __call__(self, *shape, dtype=None, scale=1.0):
        values = scale * torch.randn(shape, generator=self.rng)
        return values.to(self.device, dtype or self.dtype)

    def norm(self, channels, dtype=None):
        gain = 1 + self(channels, dtype=dtype, scale=0.2)
        return Norm(gain, self(channels, dtype=dtype, scale=0.2), 1e-5)

    def residual(self, channels, hidden, dilation):
        return Residual(
            Affine(
                self(hidden, channels, 1, 3, scale=channels**-0.5).contiguous(
                    memory_format=torch.channels_last
                ),
                self(hidden, scale=0.3),
            ),
            dilation,
            self.norm(hidden, torch.float32),
            Affine(self(2 * channels, hidden, scale=hidden**-0.5), self(2 * channels, scale=0.3)),
            self.norm(2 * channels, torch.float32),
        )


def assert_near(actual, wanted, dtype, factor=1.0):
    assert actual.shape == wanted.shape
    assert actual.dtype == wanted.dtype
    scale = max(1.0, float(wanted.float().abs().max()) / 4)
    difference = float((actual.float() - wanted.float()).abs().max())
    assert difference <= factor * TOLERANCES[dtype] * scale
    assert float(wanted.float().std()) > 0.05


def operations_for(fused, *layers):
    from allin1_backend_torch.triton_demix import residuals

    packed = {layer: residuals.pack(layer) for layer in layers}
    return fused.FusedOperations(packed, partial(fused.run, device=fused.DEVICE))


@pytest.mark.parametrize(
    ("bins", "frames", "channels", "hidden", "dilation"),
    [
        (3, 5, 16, 2, 1),  # fewer frames than a tile, fewer channels than a product's least
        (2, 129, 48, 6, 2),  # a frame more than a tile; channels that are no power of two
        (1, 300, 24, 15, 1),  # hidden channels that fill a width with their bias
        (1, 1, 96, 12, 2),  # all neighbours are outside
        (1, 130, 72, 33, 4),  # channels in two parts, the second of which is not full
    ],
)
def test_residual_layers(fused, dtype, bins, frames, channels, hidden, dilation):
    random = Random(fused, dtype)
    layer, x = random.residual(channels, hidden, dilation), random(2, bins, frames, channels)
    before = x.clone()
    wanted = PLAIN.residual(layer, x)
    assert_near(operations_for(fused, layer).residual(layer, x), wanted, dtype)
    assert torch.equal(x, before)


def test_a_row_in_several_parts_has_the_norm_of_the_whole(fused, dtype, monkeypatch):
    from allin1_backend_torch.triton_demix import sharing

    random = Random(fused, dtype)
    layer, x = random.residual(16, 3, 1), random(1, 1, 1200, 16)
    # A level that changes along the row: the norm of a part would give something else.
    x += torch.linspace(-2, 2, 1200, device=x.device, dtype=dtype)[:, None]
    own, wanted = operations_for(fused, layer), PLAIN.residual(layer, x)
    assert_near(own.residual(layer, x), wanted, dtype)
    monkeypatch.setattr(sharing, "MOST_PARTS", 3)
    assert_near(own.residual(layer, x), wanted, dtype)


def test_layers_with_too_many_hidden_channels_run_by_pytorch(fused):
    from allin1_backend_torch.triton_demix import residuals

    random = Random(fused, torch.float32)
    large, usual = random.residual(64, 64, 1), random.residual(64, 63, 1)
    assert not residuals.is_small(large)
    assert residuals.is_small(usual)
    x = random(1, 2, 9, 64)
    assert torch.equal(operations_for(fused).residual(large, x), PLAIN.residual(large, x))


@pytest.mark.parametrize(("axis", "shape"), [(1, (2, 16, 3, 4)), (2, (2, 1, 1028, 2))])
def test_shortening_with_gelu(fused, dtype, axis, shape):
    random = Random(fused, dtype)
    kernel = (8, 1) if axis == 1 else (1, 8)
    weight = random(12, shape[-1], *kernel, scale=0.3)
    layer = Affine(weight.contiguous(memory_format=torch.channels_last), random(12))
    x = random(*shape)
    assert_near(operations_for(fused).shorten(layer, x, axis), PLAIN.shorten(layer, x, axis), dtype)


@pytest.mark.parametrize("with_embedding", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 5, 12), (1, 7, 29, 48)])
def test_gated_products(fused, dtype, shape, with_embedding):
    random = Random(fused, dtype)
    channels = shape[-1]
    layer = Affine(random(2 * channels, channels, scale=channels**-0.5), random(2 * channels))
    added = random(1, shape[1], 1, channels) if with_embedding else None
    x = random(*shape)
    assert_near(
        operations_for(fused).gated_product(layer, x, added),
        PLAIN.gated_product(layer, x, added),
        dtype,
    )


@pytest.mark.parametrize("kernel", [(3, 3), (1, 3)])
def test_gated_convolutions(fused, dtype, kernel):
    random = Random(fused, dtype)
    weight = random(24, 12, *kernel, scale=0.2).contiguous(memory_format=torch.channels_last)
    layer, x = Affine(weight, random(24)), random(2, 5, 7, 12)
    assert_near(
        operations_for(fused).gated_convolution(layer, x),
        PLAIN.gated_convolution(layer, x),
        dtype,
    )


@pytest.mark.parametrize(
    ("axis", "shape", "length"),
    [(1, (2, 1, 3, 8), 4), (1, (1, 8, 5, 8), 32), (2, (2, 1, 6, 8), 21), (2, (1, 1, 300, 8), 1197)],
)
def test_lengthening_with_gelu_and_skip(fused, dtype, axis, shape, length):
    random = Random(fused, dtype)
    up = Affine(random(8 * 6, shape[-1], scale=0.4), random(6).repeat(4))
    x = random(*shape)
    skip = random(shape[0], *((length, shape[2]) if axis == 1 else (1, length)), 6)
    wanted = PLAIN.lengthen(up, x, axis, length, skip)
    assert_near(operations_for(fused).lengthen(up, x, axis, length, skip), wanted, dtype)


@pytest.mark.parametrize("shape", [(2, 5, 32), (1, 3, 24), (2, 400, 16)])
def test_sums_with_norms(fused, dtype, shape):
    random, own = Random(fused, dtype), operations_for(fused)
    x, y, norm = random(*shape), random(*shape) + 0.5, random.norm(shape[-1])
    wanted = PLAIN.sum_and_norm(norm, x, y.clone())
    for one, other in zip(own.sum_and_norm(norm, x, y.clone()), wanted, strict=True):
        assert_near(one, other, dtype)
    norm = random.norm(shape[-1], torch.float32)
    wanted = PLAIN.norm_of_sum(norm, x, y.clone())
    assert_near(own.norm_of_sum(norm, x, y.clone()), wanted, dtype)


@pytest.mark.parametrize("sources", [("drums", "bass", "other", "vocals"), tuple("abcdef")])
def test_the_ends_of_the_network(fused, dtype, small_htdemucs, sources):
    own = lay_out(small_htdemucs(7, sources=sources, **SMALL), dtype, fused.DEVICE)
    random, operations = Random(fused, dtype), operations_for(fused)
    segments = random(2, 2, own.transform.samples, dtype=torch.float32)
    wanted, level = PLAIN.channels(own, segments)
    actual, given = operations.channels(own, segments)
    assert_near(actual, wanted, dtype)
    for one, other in ((given.mean, level.mean), (given.deviation, level.deviation)):
        torch.testing.assert_close(one.flatten(), other.flatten(), rtol=1e-5, atol=1e-6)

    bins, frames, channels = own.transform.bins // 4, own.transform.frames, 16
    branches = (
        random(2, bins, frames, channels),
        random(2, 1, -(-own.transform.samples // 4), channels),
    )
    waves = Spread(random(2, 1, 1, dtype=torch.float32), 1 + random(2, 1, 1, dtype=torch.float32))
    wanted = PLAIN.waves(own, branches, level, waves)
    assert_near(operations.waves(own, branches, level, waves), wanted, dtype, factor=3)


def test_residual_layers_run_by_pytorch_where_products_are_exact(fused, small_htdemucs):
    model = small_htdemucs(3, channels=8, t_layers=2, **SMALL)
    for dtype, precision, count in (
        (torch.float32, "ieee", 0),
        (torch.float32, "tf32", 16),
        (torch.float16, "ieee", 16),
    ):
        own = lay_out(model, dtype, fused.DEVICE)
        assert len(fused.fuse(own, precision).packed) == count


def test_the_whole_network(fused, dtype, small_htdemucs):
    model = small_htdemucs(3, channels=8, t_layers=2, **SMALL)
    own = lay_out(model, dtype, fused.DEVICE)
    random = Random(fused, dtype)
    segments = 0.1 * random(1, 2, own.transform.samples - 50, dtype=torch.float32)
    wanted = Network(own)(segments)
    actual = Network(own, fused.fuse(own))(segments)
    assert actual.dtype == torch.float32
    difference = float((actual - wanted).abs().max())
    assert difference <= TOLERANCES[dtype] * float(wanted.abs().max())


# Set-up.


def test_what_triton_raises_becomes_an_error_to_fall_back_from(small_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "allin1_backend_torch.triton_demix.operations", None)
    demix = DemixParameters(model="thin", weights=str(small_folder))
    call = Separation(
        load_bag(demix), demix, CPU, "float32", channels_last=True, operations=backend.operations
    )
    with pytest.raises(BackendError, match="cannot run on cpu: ModuleNotFoundError") as caught:
        call.members("float32")
    assert "torch-cuda" in caught.value.remedy


def test_wrong_stems_do_not_pass_the_check():
    segment = noise(100, CPU)

    def plain(segments):
        return segments[:, None].repeat(1, 4, 1, 1)

    def wrong(by):
        def forward(segments):
            out = plain(segments)
            out[0, 2, 1, 70] += by
            return out

        return forward

    for precision, right, off in (("float32", 1e-5, 1e-2), ("float16", 1e-3, 1.0)):
        check(wrong(right), plain, segment, precision)
        for by in (off, torch.nan):
            with pytest.raises(BackendError, match="wrong stems"):
                check(wrong(by), plain, segment, precision)
    with pytest.raises(BackendError, match="wrong stems"):
        check(wrong(0.0), wrong(torch.inf), segment, "float16")


def test_a_separation_with_kernels_is_that_without(fused, small_htdemucs):
    bag = bag_of(small_htdemucs(3, channels=8, t_layers=2, **SMALL))
    random = Random(fused, torch.float32)
    mix = Mix(0.1 * random(2, 900))
    asked = DemixParameters(overlap=0.1, shifts=0)
    options = {"channels_last": True, "batch_size": 2}
    wanted = Separation(bag, asked, fused.DEVICE, "float16", **options)(mix, Task()).samples
    own = Separation(bag, asked, fused.DEVICE, "float16", operations=backend.operations, **options)
    actual = own(mix, Task()).samples
    difference = float((actual - wanted).abs().max())
    assert difference <= TOLERANCES[torch.float16] * float(wanted.abs().max())
    assert difference > 0, "the kernels were not used"


def test_nothing_is_compiled_after_set_up(fused, small_htdemucs, monkeypatch):
    if fused.DEVICE.type == "cpu":
        pytest.skip("needs a GPU to compile for")
    from triton.runtime.jit import JITFunction

    own = Separation(
        bag_of(small_htdemucs(3)), DemixParameters(), fused.DEVICE, "float16",
        channels_last=True, batch_size=5, operations=backend.operations,
    )  # fmt: skip
    own.members("float16")

    def fail(*arguments, **options):
        raise AssertionError("compiled again")

    monkeypatch.setattr(JITFunction, "_do_compile", fail)
    for samples in (3000, 60_000, 150_001):
        own(Mix(torch.randn(2, samples, device=fused.DEVICE)), Task())
