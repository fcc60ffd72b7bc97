"""The Gluon candidates in Triton's interpreter: layouts mean nothing there, and shared memory is a list of tensors."""

# mypy: ignore-errors

from __future__ import annotations

import sys
import types
from pathlib import Path

import triton
import triton.language as tl


class Block:
    """A block of shared memory."""

    def __init__(self, blocks, index, transposed=False):
        self.blocks, self.at, self.transposed = blocks, index, transposed

    def store(self, value):
        self.blocks[self.at] = value

    def load(self, layout=None):
        value = self.blocks[self.at]
        return tl.trans(value) if self.transposed else value

    def permute(self, order):
        return Block(self.blocks, self.at, not self.transposed)


class Shared:
    """Shared memory."""

    def __init__(self):
        self.blocks = {}

    def index(self, index):
        return Block(self.blocks, number_of(index))


def warpgroup_mma(a, b, acc, *, use_acc=True, is_async=False):
    """A product of matrices, at once."""
    zeros = tl.zeros((a.shape[0], 32), tl.float32)
    return tl.dot(a, b.load(), acc if use_acc else zeros)


def warpgroup_mma_wait(count, deps):
    """Nothing to wait for."""
    return tuple(deps) if len(deps) > 1 else deps[0]


def number_of(value):
    """A Python integer."""
    value = getattr(value, "value", value)
    handle = getattr(value, "handle", None)
    return int(value if handle is None else handle.data.item())


def numbers(*bounds):
    """``range`` over values of the interpreter."""
    return range(*(number_of(each) for each in bounds))


def language():
    """What the module uses of Gluon's language."""
    shim = types.SimpleNamespace()
    for name in (
        *(
            "constexpr",
            "float16",
            "float32",
            "int64",
            "load",
            "store",
            "sum",
            "exp2",
            "exp",
            "abs",
            "rsqrt",
        ),
        *(
            "where",
            "minimum",
            "maximum",
            "reshape",
            "permute",
            "join",
            "program_id",
            "num_programs",
        ),
    ):
        # Looked up at each call: the interpreter replaces these functions while a kernel runs.
        def call(*args, _name=name, **kwargs):
            return getattr(tl, _name)(*args, **kwargs)

        fixed = name in ("constexpr", "float16", "float32", "int64")
        setattr(shim, name, getattr(tl, name) if fixed else call)
    shim.arange = lambda start, end, layout=None: tl.arange(start, number_of(end))
    shim.full = lambda shape, value, dtype, layout=None: tl.full(shape, value, dtype)
    shim.convert_layout = lambda value, layout: value
    shim.static_range = numbers
    shim.num_warps = lambda: 4
    shim.allocate_shared_memory = lambda dtype, shape, layout: Shared()
    shim.thread_barrier = lambda: None
    for name in ("Blocked", "Slice", "NVMMADistributed", "DotOperand", "SwizzledShared"):
        setattr(shim, f"{name}Layout", lambda *args, **kwargs: None)
    shim.NVMMASharedLayout = types.SimpleNamespace(get_default_for=lambda *args: None)
    return shim


def load():
    """The module ``network_variants_gluon``, as interpreted."""
    name = "network_variants_gluon_interpreted"
    if name not in sys.modules:
        path = Path(__file__).with_name("network_variants_gluon.py")
        lines = path.read_text(encoding="utf-8").split("from triton.experimental import gluon")
        rest = lines[1].split(")\n", 1)[1]
        module = types.ModuleType(name)
        module.__dict__.update(
            tl=tl, gl=language(), warpgroup_mma=warpgroup_mma, warpgroup_mma_wait=warpgroup_mma_wait
        )
        module.range = numbers
        module.gluon = types.SimpleNamespace(jit=triton.jit, constexpr_function=lambda own: own)
        module.fence_async_shared = lambda: None
        sys.modules[name] = module
        # From a file, for the interpreter reads sources.
        import linecache

        source = (lines[0] + rest).replace(": gl.constexpr", ": tl.constexpr")
        file = f"<{name}>"
        linecache.cache[file] = (len(source), None, source.splitlines(True), file)
        exec(compile(source, file, "exec"), module.__dict__)
    return sys.modules[name]
