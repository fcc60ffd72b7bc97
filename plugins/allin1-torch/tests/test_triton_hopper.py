"""The network's kernels for Hopper GPUs: run on one, else interpreted; and what is done where they do not work.

Gluon has no interpreter, but a kernel's arithmetic needs nothing that Triton's has not: here the modules of Gluon are replaced
by a few functions, for which layouts mean nothing, shared memory is a list, and a product is done at once.
"""

from __future__ import annotations

import importlib
import logging
import operator
import subprocess
import sys
import types
from dataclasses import dataclass, replace

import pytest
import torch
from allin1_core.contracts.logits import Logits
from allin1_core.contracts.spectrogram import BANDS, LogSpectrogram
from allin1_core.contracts.stages import Setup, Task
from allin1_core.errors import BackendError
from allin1_core.testing.weights import random_model

from allin1_backend_torch import network
from allin1_backend_torch.triton_compiling import compile_kernels
from allin1_backend_torch.triton_network import backend, check, hopper
from allin1_backend_torch.triton_network.packing import pack
from allin1_backend_torch.triton_network.workspace import workspace

CPU = torch.device("cpu")

#: Names of kernels' modules, and the name of Gluon.
MODULES = ("products", "second_convolution", "time_attention", "time_mlp")
GLUON = "triton.experimental.gluon"

#: Of frames, or places: what is interpreted takes a millisecond for each operation.
INTERPRETED_TILE = 16

#: At the ends of tiles of 64 and 128, and of the padding of the first blocks.
LENGTHS = (1, 4, 5, 63, 64, 65, 127, 128, 129, 1000)


# Gluon, replaced.


class Block:
    """A block of shared memory."""

    def __init__(self, blocks, number):
        self.blocks, self.number = blocks, number

    def store(self, values):
        self.blocks[self.number] = values

    def load(self, layout=None):
        return self.blocks[self.number]


class Shared:
    """Blocks of shared memory."""

    def __init__(self, dtype, shape, layout):
        self.blocks = [None] * operator.index(getattr(shape[0], "value", shape[0]))

    def index(self, number):
        return Block(self.blocks, operator.index(getattr(number, "value", number)))


def replaced_gluon():
    """Modules of Gluon by name."""
    import triton
    import triton.language as tl

    def product(rows, block, total, *, use_acc=True, is_async=False):
        return tl.dot(rows, block.load(), total if use_acc else tl.zeros_like(total))

    def jit(function=None, **options):
        if function is not None:  # called by a kernel; to interpret each is slow
            return function
        return triton.jit(**options)

    def anything(*arguments, **options):
        return None

    language = types.ModuleType(f"{GLUON}.language")
    # Looked up at each call, as the interpreter replaces functions of the language while a kernel runs.
    language.__getattr__ = lambda name: getattr(tl, name)
    language.arange = lambda start, end, layout: tl.arange(start, end)
    language.full = lambda shape, value, dtype, layout: tl.full(shape, value, dtype)
    language.convert_layout = lambda values, layout: values
    language.allocate_shared_memory = Shared
    language.static_range = lambda end: range(operator.index(getattr(end, "value", end)))
    language.num_warps = lambda: 8
    language.thread_barrier = anything
    for name in ("Blocked", "Slice", "NVMMADistributed", "DotOperand", "SwizzledShared"):
        setattr(language, f"{name}Layout", anything)
    language.NVMMASharedLayout = types.SimpleNamespace(get_default_for=anything)

    gluon, instructions = types.ModuleType(GLUON), types.ModuleType(f"{GLUON}.hopper")
    gluon.language, gluon.jit = language, jit
    gluon.constexpr_function = lambda function: function
    instructions.warpgroup_mma = product
    instructions.warpgroup_mma_wait = lambda count, values: values
    instructions.fence_async_shared = anything
    return {
        GLUON: gluon,
        language.__name__: language,
        f"{GLUON}.language.nvidia.hopper": instructions,
    }


@pytest.fixture(scope="module")
def kernels(kernels_device):
    """Device of the kernels, and their modules by name."""
    names = {name: f"{hopper.__name__}.{name}" for name in MODULES}
    if kernels_device.type == "cuda":
        if not hopper.resident_programs(kernels_device, exact=True):
            pytest.skip("needs a Hopper GPU and Triton 3.6; elsewhere kernels are interpreted")
        yield kernels_device, {name: importlib.import_module(names[name]) for name in MODULES}
        return
    import triton.experimental
    import triton.language as tl
    from triton.runtime import jit

    with pytest.MonkeyPatch.context() as patch:
        for name in MODULES:  # imported anew, and not left for others
            patch.setitem(sys.modules, names[name], None)
            patch.setattr(hopper, name, None, raising=False)
            del sys.modules[names[name]]
        with pytest.MonkeyPatch.context() as gluon:
            modules = replaced_gluon()
            for name, module in modules.items():
                gluon.setitem(sys.modules, name, module)
            gluon.setattr(triton.experimental, "gluon", modules[GLUON], raising=False)
            loaded = {name: importlib.import_module(names[name]) for name in MODULES}
        # What the interpreter looks for: the language, and which arguments are constants.
        for module in loaded.values():
            module.tl = tl
        normalized = jit._normalize_ty
        patch.setattr(jit, "_normalize_ty", lambda ty: normalized(str(ty).removeprefix("gl.")))
        for name in ("second_convolution", "time_mlp"):
            patch.setattr(loaded[name], "_TILE", INTERPRETED_TILE)  # so that there are several
        yield kernels_device, loaded


# Each kernel against the one in plain Triton.


def filled(frames, members, device):
    """A workspace of random values, and the low halves as small as they are."""
    space = workspace(frames, members, True, device)
    generator = torch.Generator(device).manual_seed(frames)
    for values in vars(space).values():
        if isinstance(values, torch.Tensor):
            values.normal_(generator=generator)
    for both in (space.first, space.second):
        both[1] *= 2.0**-12
    return space


def assert_same_outputs(space, names, plain, other):
    """Compare what two launches write, and where."""
    if space.x.is_cuda:  # else the first launch would, though not as it must be
        compile_kernels((plain, other), space.x.device, "the kernels")
    inputs = {name: getattr(space, name).clone() for name in names}
    written = []
    for launch in (plain, other):
        for name in names:
            values = getattr(space, name)
            values.copy_(inputs[name]) if name == "x" else values.fill_(torch.nan)
        launch.run()
        written.append({name: getattr(space, name).clone() for name in names})
    for name in names:
        wanted, actual = (each[name] for each in written)
        if wanted.dtype == torch.float16:
            wanted, actual = wanted.float().sum(0), actual.float().sum(0)
        torch.testing.assert_close(actual, wanted, rtol=1e-5, atol=3e-5, equal_nan=True)
    for name in names:
        getattr(space, name).copy_(inputs[name])


@pytest.mark.parametrize(
    ("frames", "members", "programs"),
    [(1, 1, 1), (5, 2, 1), (18, 1, 2), (128, 3, 264), (1000, 3, 7)],
)
def test_each_kernel_writes_what_the_plain_one_does(kernels, frames, members, programs):
    from allin1_backend_torch.triton_network import front_end, time_attention, time_mlp

    device, modules = kernels
    if device.type == "cpu" and frames > 100:
        pytest.skip("so many frames take long to interpret")
    weights = pack(random_model(2, members=members).members, device)
    space = filled(frames, members, device)
    plain = front_end.second(weights, space, True)
    other = modules["second_convolution"].launch(weights, space, programs)
    assert_same_outputs(space, ["second"], plain, other)
    for block in (1, 10):  # in the last one, a song of less than 10,240 frames is padded
        plain = time_attention.launch(block, weights, space)
        other = modules["time_attention"].launch(block, weights, space)
        assert_same_outputs(space, ["contexts"], plain, other)
    plain = time_mlp.launch(3, weights, space, True)
    other = modules["time_mlp"].launch(3, weights, space, programs)
    assert_same_outputs(space, ["x", "instrument_planes"], plain, other)


@pytest.mark.parametrize("members", [1, 3, 8])
def test_on_a_hopper_gpu_every_length_equals_pytorchs_operations(kernels, members):
    from allin1_backend_torch.triton_network.ensemble import ready

    device, _ = kernels
    if device.type != "cuda":
        pytest.skip("a whole network takes long to interpret")
    model = random_model(5, members=members)
    setup = Setup(str(device), model)
    programs = hopper.resident_programs(device, exact=True)
    chosen, plain = backend.create(setup).call, ready(model.members, device, True)
    assert (chosen.programs, plain.programs) == (programs, 0)
    calls = {
        "plain": plain,
        "few programs": replace(chosen, programs=members),
        "an odd number": replace(chosen, programs=7 * members),
        "chosen": chosen,
    }
    reference = network.create(setup)
    three_minutes, half_an_hour = 18_000, 180_000
    for frames in (*LENGTHS, three_minutes, half_an_hour if members == 1 else 1001):
        spectrogram = LogSpectrogram(torch.rand(4, frames, BANDS, device=device))
        wanted = reference(spectrogram, Task())
        largest = max(getattr(wanted, field).abs().max().item() for field in Logits.ARRAYS[:4])
        for name, call in calls.items():
            given = call(spectrogram, Task())
            for field in Logits.ARRAYS[:4]:
                torch.testing.assert_close(
                    getattr(given, field),
                    getattr(wanted, field),
                    rtol=0,
                    atol=5e-5 * max(1.0, largest),
                    msg=lambda text, name=name, frames=frames: f"{name}, {frames}: {text}",
                )


def test_the_chosen_kernels_are_launched(kernels):
    from allin1_backend_torch.triton_network.ensemble import launches

    device, _ = kernels
    weights, space = pack(random_model(2).members, device), workspace(7, 1, True, device)
    spectrogram, logits = (torch.zeros(shape, device=device) for shape in ((4, 7, 81), (1, 13, 7)))
    names = {}
    for programs in (0, 264):
        every = launches(spectrogram, weights, space, logits, True, programs)
        names[programs] = [launch.kernel.__name__ for launch in every]
    assert len(names[0]) == len(names[264]) == 37
    differing = [pair for pair in zip(names[0], names[264], strict=True) if len(set(pair)) == 2]
    assert len(differing) == 1 + 2 * 11
    assert {other for _, other in differing} == {f"{plain}_on_hopper" for plain, _ in differing}


COMPILE = """
import torch, triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

class Pretended:
    get_current_target = staticmethod(lambda: GPUTarget("cuda", 90, 32))
    get_current_device = staticmethod(lambda: 0)
    get_current_stream = staticmethod(lambda device=0: 0)
    get_active_torch_device = staticmethod(lambda: torch.device("cpu"))
    get_device_capability = staticmethod(lambda *device: (9, 0))

driver.set_active(Pretended())
from allin1_core.testing.weights import random_model
from allin1_backend_torch.triton_compiling import without_warp_group_products
from allin1_backend_torch.triton_network.ensemble import launches
from allin1_backend_torch.triton_network.packing import pack
from allin1_backend_torch.triton_network.workspace import workspace

cpu = torch.device("cpu")
weights, space = pack(random_model(2).members, cpu), workspace(300, 1, True, cpu)
spectrogram, logits = torch.zeros(4, 300, 81), torch.zeros(1, 13, 300)
with without_warp_group_products():
    for launch in list(launches(spectrogram, weights, space, logits, True, 264))[:5]:
        name = launch.kernel.__name__
        if name.endswith("_on_hopper"):
            made = launch.kernel.warmup(*launch.arguments, grid=launch.grid, **launch.options)
            products = made.asm["ptx"].count("wgmma.mma_async")
            print(name, products, made.metadata.shared, len(made.asm["cubin"]) > 0)
"""


def test_the_kernels_compile_for_hopper_without_one(monkeypatch, tmp_path):
    pytest.importorskip(GLUON, reason="needs Triton with Gluon")
    from triton import knobs

    try:
        print(knobs.nvidia.ptxas.path)
    except Exception as error:
        pytest.skip(f"needs ptxas: {error}")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    command = [sys.executable, "-c", COMPILE]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr[-3000:]
    found = {name: values for name, *values in map(str.split, told.stdout.splitlines())}
    assert {name: int(products) for name, (products, *_) in found.items()} == {
        "_second_convolution_on_hopper": 3 * 29,
        "_time_attention_on_hopper": 0,
        "_time_mlp_on_hopper": 2 * 3 * 23,  # of 16 rows by 16 inputs by 32 outputs
    }
    for _, shared, compiled in found.values():
        # Two programs, and 1 kB for each, fit the 228 kB of a multiprocessor.
        assert int(shared) + 1024 <= 114 * 1024
        assert compiled == "True"


# What is chosen.


@dataclass(frozen=True)
class Network:
    """Gives the logits that it was made with."""

    rows: torch.Tensor
    programs: int

    def __call__(self, spectrogram, task):
        return Logits(self.rows[0], self.rows[1], self.rows[2], self.rows[3:])


@pytest.fixture
def made(monkeypatch):
    """Pretend that the CPU is a Hopper GPU whose kernels give chosen errors or logits; return how to choose."""
    monkeypatch.setattr(backend, "resident_programs", lambda device, exact: 264)

    def make(on_hopper, plain):
        def ready(members, device, exact, programs=0):
            given = on_hopper if programs else plain
            if isinstance(given, Exception):
                raise given
            return Network(given, programs)

        module = types.ModuleType("ensemble")
        module.ready = ready
        name = "allin1_backend_torch.triton_network.ensemble"
        monkeypatch.setitem(sys.modules, name, module)
        return backend.create(Setup("cpu", MODEL)).call

    return make


MODEL = random_model(3)


@pytest.fixture(scope="module")
def right():
    return check.expected(MODEL, CPU)


def test_on_a_hopper_gpu_its_kernels_are_used_if_they_are_right(made, right, caplog):
    assert made(right, RuntimeError("not needed")).programs == 264
    assert not caplog.records


@pytest.mark.parametrize("fault", ["wrong", "an error", "no Gluon"])
def test_where_they_do_not_work_those_in_plain_triton_are_used_with_a_reason(
    made, right, caplog, fault
):
    faults = {"an error": ValueError("does not compile"), "no Gluon": ImportError("no gluon")}
    reasons = {"wrong": "wrong logits", "an error": "does not compile", "no Gluon": "no gluon"}
    with caplog.at_level(logging.WARNING):
        assert made(faults.get(fault, right + 1), right).programs == 0
    (record,) = caplog.records
    assert "Hopper" in record.getMessage()
    assert reasons[fault] in record.getMessage()


def test_where_neither_work_the_backend_is_rejected(made, right):
    with pytest.raises(BackendError, match="wrong logits"):
        made(right + 1, right + 1)
    with pytest.raises(BackendError, match="cannot run on cpu: OSError: no compiler"):
        made(right + 1, OSError("no compiler"))


def test_only_exact_products_on_hopper_gpus_with_triton_3_6_have_such_kernels(monkeypatch):
    cuda = torch.device("cuda:0")
    properties = types.SimpleNamespace(multi_processor_count=132)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    for capability, triton, exact, wanted in (
        *(((9, 0), "3.6.0", True, 264), ((9, 0), "3.7.1+git", True, 264)),
        *(((9, 0), "3.6.0", False, 0), ((9, 0), "3.5.1", True, 0)),
        *(((8, 0), "3.6.0", True, 0), ((10, 0), "3.6.0", True, 0)),
    ):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, c=capability: c)
        module = types.SimpleNamespace(__version__=triton)
        monkeypatch.setitem(sys.modules, "triton", module)
        assert hopper.resident_programs(cuda, exact) == wanted
    assert hopper.resident_programs(CPU, exact=True) == 0


def test_a_grid_has_no_more_programs_than_tiles_nor_fewer_than_members():
    assert hopper.persistent_grid(264, 8, 564) == (33, 8)
    assert hopper.persistent_grid(264, 3, 4) == (4, 3)
    assert hopper.persistent_grid(1, 8, 564) == (1, 8)
