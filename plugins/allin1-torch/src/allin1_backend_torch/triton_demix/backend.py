"""The stage ``demix`` with Triton kernels, on NVIDIA GPUs. Importing this does not import Triton."""

from __future__ import annotations

from dataclasses import replace

import torch
from allin1_core.contracts.stages import Setup, StreamingDemix
from allin1_core.errors import Allin1Error, BackendError, brief

from allin1_backend_torch import demix
from allin1_backend_torch.demix_network import Network
from allin1_backend_torch.demix_operations import Operations
from allin1_backend_torch.demix_parameters import Parameters
from allin1_backend_torch.demix_precision import Precision, computing
from allin1_backend_torch.triton_compiling import begin_loading, compile_kernels
from allin1_backend_torch.triton_demix.check import attention_that_is_ready, check, noise
from allin1_backend_torch.triton_network.launching import Launch

#: What imports the kernels.
_KERNELS = "allin1_backend_torch.triton_demix.operations"


def create(setup: Setup) -> StreamingDemix:
    """Load the models, compile their kernels, and compare these with PyTorch's operations.

    Kernels are compiled at the first set-up on a machine; later ones load them from Triton's cache.

    Raises
    ------
    BackendError
        The kernels cannot be compiled, do not fit the card, or give wrong stems.
    WeightsError, InputError, ContractError
        As :func:`allin1_backend_torch.demix.create`.
    """
    begin_loading(torch.device(setup.device), _KERNELS)
    return demix.create(setup, operations)


def operations(own: Parameters, precision: Precision) -> Operations:
    """Make operations by kernels for a network's parameters, compiled and checked.

    Raises
    ------
    BackendError
        They cannot be compiled, do not fit the card, or give wrong stems.
    """
    device = own.bin_embedding.device
    try:
        # Here, not above: this imports Triton, and what is declared must be importable without it.
        from allin1_backend_torch.triton_demix.operations import fuse

        made = fuse(own, "tf32" if precision == "tf32" else "ieee")
        segment = noise(own.transform.samples, device)
        with computing(precision), attention_that_is_ready():
            if device.type == "cuda":
                launches: list[Launch] = []
                # What is not computed is not looked at, either: this is only to see every launch.
                Network(own, replace(made, start=launches.extend))(segment)
                compile_kernels(launches, device, "the separation")
            check(Network(own, made), Network(own), segment, precision)
    except Allin1Error:
        raise
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a compiler or a driver raises
        raise BackendError(
            f"The separation's Triton kernels cannot run on {device}: {brief(error)}",
            remedy="Triton needs a C compiler at its first use. The backend torch-cuda does without.",
        ) from error
    return made
