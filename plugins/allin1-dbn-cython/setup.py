"""Builds the compiled module; all other metadata is in pyproject.toml."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

PACKAGE = "src/allin1_backend_dbn_cython"
INSTRUCTION_SETS = ("avx512", "avx2", "sse2", "neon", "scalar")
KERNELS = ("isa", "kernels", *(f"advance_{isa}" for isa in INSTRUCTION_SETS), "trace")

# The stable ABI includes the buffer protocol from Python 3.11 on, so a single wheel supports 3.11 and later;
# 3.10 and the free-threaded builds, which have no stable ABI, need separate wheels.
STABLE_ABI = sys.version_info >= (3, 11) and not sysconfig.get_config_var("Py_GIL_DISABLED")


class BuildExt(build_ext):
    """Sets compiler flags that forbid reordering of floating-point arithmetic."""

    def build_extensions(self) -> None:
        """Build with the flags for the compiler in use."""
        if self.compiler.compiler_type == "msvc":
            flags = ["/O2", "/fp:precise"]
        else:
            flags = ["-O3", "-std=c11", "-ffp-contract=off", "-fno-fast-math"]
        for extension in self.extensions:
            extension.extra_compile_args = flags
        super().build_extensions()


setup(
    ext_modules=[
        Extension(
            "allin1_backend_dbn_cython._kernel",
            sources=[f"{PACKAGE}/_kernel.pyx"] + [f"{PACKAGE}/kernel/{name}.c" for name in KERNELS],
            include_dirs=[PACKAGE],
            depends=sorted(map(str, Path(PACKAGE, "kernel").glob("*.h"))),
            define_macros=[("Py_LIMITED_API", "0x030B0000")] if STABLE_ABI else [],
            py_limited_api=STABLE_ABI,
        )
    ],
    cmdclass={"build_ext": BuildExt},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if STABLE_ABI else {},
)
