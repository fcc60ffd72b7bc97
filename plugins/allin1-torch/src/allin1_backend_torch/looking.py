"""Quick probes: predict the result of the probes without importing PyTorch, which takes seconds.

PyTorch's version file states what it was built for, and the NVIDIA driver reports the GPU. Each function returns None if
it cannot determine the result.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import platform
import re
import sys
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from allin1_core.contracts.verdict import Ready, StartUp, Unavailable, Verdict

from allin1_backend_torch.verdicts import (
    TRITON_SINCE,
    cpu_detail,
    gpu_detail,
    no_cuda_device,
    too_old_for_triton,
    triton_detail,
    without_cuda,
    without_mps,
)

#: Duration of the import in seconds, with a warm disk cache: the first was measured on two cores, the second is an estimate.
_IMPORT_S = {"cpu": 1.7, "cuda": 2.5}

#: Time in seconds for the first access to a GPU, including the creation of its context.
_CONTEXT_S = 0.5

#: Time in seconds for the import of Triton, and for the hash of its library, which is part of the keys of its cache.
_TRITON_S = 0.4

#: Numbers of device attributes and of a return code in the driver API.
_CAPABILITY_MAJOR, _CAPABILITY_MINOR, _NO_DEVICE = 75, 76, 100

#: First macOS on which PyTorch's wheels find a GPU.
_MACOS_SINCE = (14,)


@dataclass(frozen=True)
class Build:
    """An installed PyTorch.

    Attributes
    ----------
    version
        Equal to ``torch.__version__``.
    cuda, hip
        Version of CUDA or ROCm that it was built with; empty if it was not.
    """

    version: str
    cuda: str
    hip: str


@dataclass(frozen=True)
class Gpu:
    """The first GPU that CUDA makes visible to this process.

    Attributes
    ----------
    name
        Name of the card.
    capability
        Compute capability, such as ``(9, 0)``.
    """

    name: str
    capability: tuple[int, int]


def look_for_cpu() -> Verdict | None:
    """Check whether  PyTorch is here."""
    build = find_build()
    return None if build is None else Ready("cpu", cpu_detail(build.version), _start_ups(build))


def look_for_cuda() -> Verdict | None:
    """Check whether  PyTorch is here for CUDA, and a GPU."""
    found = _find_gpu()
    return found if not isinstance(found, tuple) else found[0]


def look_for_cuda_triton() -> Verdict | None:
    """Check whether  there is a GPU that Triton compiles for."""
    found = _find_gpu()
    if not isinstance(found, tuple):
        return found
    ready, gpu = found
    if gpu.capability < TRITON_SINCE:
        return too_old_for_triton(gpu.capability)
    start_ups = *ready.start_ups, StartUp("triton", _TRITON_S)
    return replace(ready, detail=triton_detail(ready.detail), start_ups=start_ups)


def look_for_mps() -> Verdict | None:
    """Check whether  this could be an Apple GPU."""
    build = find_build()
    if build is None:
        return None
    if sys.platform != "darwin" or platform.machine() != "arm64":
        return without_mps(build.version)
    system = tuple(int(part) for part in platform.mac_ver()[0].split(".") if part.isdigit())
    if system < _MACOS_SINCE:
        return None
    return Ready("mps", gpu_detail("Apple GPU", build.version), _start_ups(build))


def look_for_natten_cpu() -> Verdict | None:
    """Check whether  NATTEN could compute on the CPU."""
    return _with_natten(look_for_cpu())


def look_for_natten_cuda() -> Verdict | None:
    """Check whether  NATTEN could compute on an NVIDIA GPU."""
    return _with_natten(look_for_cuda())


def _with_natten(verdict: Verdict | None) -> Verdict | None:
    if not isinstance(verdict, Ready):
        return verdict
    return replace(verdict, detail=f"{verdict.detail}, NATTEN {version('natten')}")


def _find_gpu() -> tuple[Ready, Gpu] | Unavailable | None:
    build = find_build()
    if build is None or build.hip:
        return None
    if not build.cuda:
        return without_cuda(build.version)
    gpu = find_gpu(build.cuda)
    if not isinstance(gpu, Gpu):
        return gpu
    detail = gpu_detail(gpu.name, build.version)
    context = StartUp("cuda-context", _CONTEXT_S)
    return Ready("cuda:0", detail, (*_start_ups(build), context)), gpu


def _start_ups(build: Build) -> tuple[StartUp, ...]:
    return (StartUp("torch", _IMPORT_S["cuda" if build.cuda or build.hip else "cpu"]),)


@functools.cache
def find_build() -> Build | None:
    """Read the version file of PyTorch; None if there is none, or it has an unknown format."""
    try:
        spec = importlib.util.find_spec("torch")
    except (ImportError, ValueError):  # ValueError: an imported module without a spec
        return None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        try:
            text = (Path(folder) / "version.py").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        said = dict(re.findall(r"^(\w+)(?:: [\w\[\]. |]+)? = (.+)$", text, re.MULTILINE))
        values = {name: _text_in(said.get(name, "")) for name in ("__version__", "cuda", "hip")}
        if any(value is None for value in values.values()) or not values["__version__"]:
            return None
        return Build(*(str(value) for value in values.values()))
    return None


def _text_in(literal: str) -> str | None:
    """The value of a string literal, an empty string for ``None``; None if it is neither."""
    if literal == "None":
        return ""
    match = re.fullmatch(r"""(['"])([\w.+-]*)\1""", literal)
    return match[2] if match else None


def find_gpu(built_for: str) -> Gpu | Unavailable | None:
    """Ask the NVIDIA driver for the first GPU, for a PyTorch that was built for this version of CUDA."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return no_cuda_device()
    begun = driver.cuInit(0)
    if begun == _NO_DEVICE:
        return no_cuda_device()
    if begun:
        return None
    number = ctypes.c_int()
    if driver.cuDriverGetVersion(ctypes.byref(number)):
        return None
    # An older driver may work with CUDA's compatibility package, which only PyTorch can determine.
    if number.value // 1000 < int(built_for.partition(".")[0]):
        return None
    if driver.cuDeviceGetCount(ctypes.byref(number)):
        return None
    if number.value == 0:
        return no_cuda_device()
    device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    if driver.cuDeviceGet(ctypes.byref(device), 0):
        return None
    if driver.cuDeviceGetName(name, len(name), device):
        return None
    capability = []
    for attribute in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR):
        if driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, device):
            return None
        capability.append(number.value)
    return Gpu(name.value.decode(errors="replace"), (capability[0], capability[1]))
