"""Probes of the devices that PyTorch can use on this machine. Only the probes import PyTorch, not this module."""

from __future__ import annotations

import functools
import os
from importlib.metadata import entry_points

from allin1_core.contracts.verdict import Broken, Ready, Unavailable, Verdict

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


@functools.cache
def prepare_import() -> None:
    """Prevent the import of PyTorch from failing because the metadata of another package is damaged.

    PyTorch searches the metadata for extensions, and a partial import crashes the interpreter at exit.
    """
    try:
        entry_points(group="torch.backends")
    except Exception:  # damaged metadata may raise any error
        os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")


def probe_cpu() -> Verdict:
    """Check whether  PyTorch computes on the CPU."""
    try:
        prepare_import()
        import torch

        _compute("cpu")
    except Exception as error:  # a broken installation may raise any error
        return _broken(error)
    return Ready("cpu", cpu_detail(torch.__version__))


def probe_cuda() -> Verdict:
    """Check whether  PyTorch computes on an NVIDIA GPU."""
    try:
        prepare_import()
        import torch

        if torch.version.cuda is None and torch.version.hip is None:
            return without_cuda(torch.__version__)
        if not torch.cuda.is_available():
            return no_cuda_device()
        _compute("cuda:0")
        name = torch.cuda.get_device_name(0)
    except Exception as error:  # for example if the GPU is too old for this build
        return _broken(error)
    return Ready("cuda:0", gpu_detail(name, torch.__version__))


def probe_cuda_triton() -> Verdict:
    """Check whether  Triton can compile for an NVIDIA GPU that PyTorch computes on."""
    verdict = probe_cuda()
    if not isinstance(verdict, Ready):
        return verdict
    try:
        import torch

        if torch.version.hip is not None:
            return Unavailable("These kernels are for NVIDIA GPUs only.")
        capability = torch.cuda.get_device_capability(0)
        if capability < TRITON_SINCE:
            return too_old_for_triton(capability)
        import triton  # noqa: F401 - whether it can be is asked
    except ImportError as error:
        return Unavailable(f"Triton cannot be imported: {error}", "Install triton.")
    except Exception as error:  # a broken installation may raise any error
        return _broken(error)
    return Ready(verdict.device, triton_detail(verdict.detail))


def probe_mps() -> Verdict:
    """Check whether  PyTorch computes on an Apple GPU."""
    try:
        prepare_import()
        import torch

        if not torch.backends.mps.is_built():
            return without_mps(torch.__version__)
        if not torch.backends.mps.is_available():
            return Unavailable("No MPS device was found.", "MPS needs macOS 12.3 or later.")
        _compute("mps")
    except Exception as error:  # a broken installation may raise any error
        return _broken(error)
    return Ready("mps", gpu_detail("Apple GPU", torch.__version__))


def probe_cpu_natten() -> Verdict:
    """Check whether  NATTEN computes on the CPU."""
    prepare_import()
    from allin1_backend_torch import network_natten

    return network_natten.probe(probe_cpu())


def probe_cuda_natten() -> Verdict:
    """Check whether  NATTEN computes on an NVIDIA GPU."""
    prepare_import()
    from allin1_backend_torch import network_natten

    return network_natten.probe(probe_cuda())


def _compute(device: str) -> None:
    """Multiply two small matrices on the device, and raise an error if the result is wrong."""
    import torch

    ones = torch.ones(2, 2, dtype=torch.float32, device=device)
    total = (ones @ ones).sum().item()
    if total != 8:
        raise ArithmeticError(f"A product of matrices of ones on {device} sums to {total}, not 8.")


def _broken(error: Exception) -> Broken:
    return Broken(f"{type(error).__name__}: {error}")
