"""Results of probes, identical for full and quick ones, as they are part of the conditions of a measurement."""

from __future__ import annotations

import os
from importlib.metadata import version

from allin1_core.contracts.verdict import Unavailable

#: Minimum compute capability for the Triton kernels: Ampere.
TRITON_SINCE = (8, 0)

_INSTALL = "Install a PyTorch for this machine: see https://pytorch.org/get-started/locally."


def cpu_detail(torch_version: str) -> str:
    """Description of PyTorch on the CPU."""
    return f"PyTorch {torch_version}, at most {_most_threads()} threads"


def gpu_detail(name: str, torch_version: str) -> str:
    """Description of PyTorch on a GPU."""
    return f"{name}, PyTorch {torch_version}"


def triton_detail(of_torch: str) -> str:
    """Description of Triton on a GPU, appended to that of PyTorch."""
    return f"{of_torch}, Triton {version('triton')}"


def without_cuda(torch_version: str) -> Unavailable:
    """PyTorch was built without CUDA."""
    return Unavailable(f"PyTorch {torch_version} was built without CUDA.", _INSTALL)


def without_mps(torch_version: str) -> Unavailable:
    """PyTorch was built without MPS."""
    return Unavailable(f"PyTorch {torch_version} was built without MPS.")


def no_cuda_device() -> Unavailable:
    """There is no GPU, or it is hidden."""
    return Unavailable(
        "No CUDA device was found.",
        "Check that nvidia-smi lists the GPU, and that CUDA_VISIBLE_DEVICES does not hide it.",
    )


def too_old_for_triton(capability: tuple[int, int]) -> Unavailable:
    """The GPU is too old for the Triton kernels."""
    return Unavailable(
        f"The compute capability of the GPU is {capability[0]}.{capability[1]}; these kernels need 8.0 (Ampere).",
        "Use the backend torch-cuda.",
    )


def _most_threads() -> int:
    """Number of threads that this process may use: that of the environment, or the number of cores."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        said = os.environ.get(name, "")
        if said.isdecimal() and int(said) > 0:
            return int(said)
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1
