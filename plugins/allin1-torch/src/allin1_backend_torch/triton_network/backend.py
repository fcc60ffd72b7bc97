"""The stage ``nn`` in Triton kernels, on NVIDIA GPUs. Importing this does not import Triton."""

from __future__ import annotations

import torch
from allin1_core.contracts.stages import Nn, Setup
from allin1_core.errors import Allin1Error, BackendError, WeightsError, brief

from allin1_backend_torch.triton_compiling import begin_loading
from allin1_backend_torch.triton_network.check import check, expected
from allin1_backend_torch.waiting import Waiting

#: What imports the kernels.
_KERNELS = "allin1_backend_torch.triton_network.ensemble"

#: Tolerance of :func:`check`, relative to the largest logit.
_TOLERANCES = {True: 5e-5, False: 5e-2}


def create(setup: Setup) -> Nn:
    """Prepare the networks of ``setup.model`` on ``setup.device``, with products as exact as float32.

    Kernels are compiled on the first set-up on a machine; later ones load them from Triton's cache.

    Raises
    ------
    WeightsError
        No model was given, or a parameter is missing or has the wrong shape.
    BackendError
        The kernels cannot be compiled, do not run on this GPU, or compute wrong logits.
    """
    return _create(setup, exact=True)


def create_float16(setup: Setup) -> Nn:
    """Like :func:`create`, with products of float16 and sums in float32."""
    return _create(setup, exact=False)


def _create(setup: Setup, exact: bool) -> Nn:
    if setup.model is None or not setup.model.members:
        raise WeightsError("The network was given no parameters.", remedy="Choose a model.")
    device = torch.device(setup.device)
    begin_loading(device, _KERNELS)
    wanted = expected(setup.model, device)
    try:
        # Imported here because this imports Triton, and the module must be importable without it.
        from allin1_backend_torch.triton_network.ensemble import ready

        ensemble = ready(setup.model.members, device, exact)
        check(ensemble, device, wanted, _TOLERANCES[exact])
    except Allin1Error:
        raise
    except Exception as error:  # compilers and drivers may raise any error
        raise BackendError(
            f"The network's Triton kernels cannot run on {device}: {brief(error)}",
            remedy="Install a C compiler, which Triton needs on first use, or use the backend torch-cuda.",
        ) from error
    return Waiting(ensemble, device)
