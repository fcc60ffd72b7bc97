"""What probes say, in the same words whether PyTorch was imported for it or not: it is part of what a measurement holds for."""

from __future__ import annotations

import os
from importlib.metadata import version

from allin1_core.contracts.verdict import Unavailable

#: First compute capability that the Triton kernels are for: Ampere.
TRITON_SINCE = (8, 0)

_INSTALL = "Install a PyTorch for this machine: see https://pytorch.org/get-started/locally."


def cpu_detail(torch_version: str) -> str:
    """Words for PyTorch on the CPU."""
    return f"PyTorch {torch_version}, at most {_most_threads()} threads"


def gpu_detail(name: str, torch_version: str) -> str:
    """Words for PyTorch on a GPU."""
    return f"{name}, PyTorch {torch_version}"


def triton_detail(of_torch: str) -> str:
    """Words for Triton on a GPU, behind those for PyTorch."""
    return f"{of_torch}, Triton {version('triton')}"


def without_cuda(torch_version: str) -> Unavailable:
    """Say that PyTorch was built for something else."""
    return Unavailable(f"PyTorch {torch_version} was built without CUDA.", _INSTALL)


def without_mps(torch_version: str) -> Unavailable:
    """Say that PyTorch was built for something else than Apple's GPUs."""
    return Unavailable(f"PyTorch {torch_version} was built without MPS.")


def no_cuda_device() -> Unavailable:
    """Say that there is no GPU, or that it is hidden."""
    return Unavailable(
        "No CUDA device was found.",
        "Check that nvidia-smi lists the GPU, and that CUDA_VISIBLE_DEVICES does not hide it.",
    )


def too_old_for_triton(capability: tuple[int, int]) -> Unavailable:
    """Say that a GPU is too old for the Triton kernels."""
    return Unavailable(
        f"The GPU's compute capability is {capability[0]}.{capability[1]}; these kernels need 8.0 (Ampere).",
        "The backend torch-cuda runs on it.",
    )


def _most_threads() -> int:
    """Threads that this process may use: what the environment says, or its cores."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        said = os.environ.get(name, "")
        if said.isdecimal() and int(said) > 0:
            return int(said)
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1
