"""Builds the compiled modules; all other metadata is in pyproject.toml."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

PACKAGE = "src/allin1_backend_cython"


def per_instruction_set(kernel: str) -> tuple[str, ...]:
    """Source files of a kernel that has a version for each instruction set."""
    return tuple(f"{kernel}_{isa}" for isa in ("avx512", "avx2", "sse2", "neon", "scalar"))


#: Compiled modules, and the files in ``kernel`` that each is built from.
MODULES = {
    "_attention": ("attention", "attention_avx512", "attention_avx2"),
    "_isa": ("isa",),
    "_dconv": ("dconv", *per_instruction_set("dconv")),
    "_network": ("network", *per_instruction_set("network")),
    "_spectrogram": ("spectrogram", *per_instruction_set("spectrogram")),
}

# The stable ABI includes the buffer protocol from Python 3.11 on, so a single wheel supports 3.11 and later;
# 3.10 and the free-threaded builds, which have no stable ABI, need separate wheels.
STABLE_ABI = sys.version_info >= (3, 11) and not sysconfig.get_config_var("Py_GIL_DISABLED")


class BuildExt(build_ext):
    """Sets compiler flags that forbid reordering of floating-point arithmetic."""

    def build_extensions(self) -> None:
        """Build with the flags for the compiler in use."""
        if self.compiler.compiler_type == "msvc":
            flags = ["/O2", "/std:c11", "/fp:precise"]
        else:
            flags = ["-O3", "-std=c11", "-ffp-contract=off", "-fno-fast-math"]
        for extension in self.extensions:
            extension.extra_compile_args = flags
        super().build_extensions()


def extension(module: str, kernels: tuple[str, ...]) -> Extension:
    """One compiled module."""
    return Extension(
        f"allin1_backend_cython.{module}",
        sources=[f"{PACKAGE}/{module}.pyx"] + [f"{PACKAGE}/kernel/{name}.c" for name in kernels],
        include_dirs=[PACKAGE],
        depends=sorted(map(str, Path(PACKAGE, "kernel").glob("*.h"))),
        define_macros=[("Py_LIMITED_API", "0x030B0000")] if STABLE_ABI else [],
        py_limited_api=STABLE_ABI,
    )


setup(
    ext_modules=[extension(module, kernels) for module, kernels in MODULES.items()],
    cmdclass={"build_ext": BuildExt},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if STABLE_ABI else {},
)
