"""A small forward pass against PyTorch's own operations, before a backend is trusted.

Kernels are compiled for the card at hand by whatever Triton is installed. That some versions miscompile some of them was
seen (:mod:`allin1_backend_torch.triton_compiling` tells how it is avoided there); this finds what was not foreseen.
"""

from __future__ import annotations

import numpy as np
import torch
from allin1_core.contracts.logits import Logits
from allin1_core.contracts.model import Model
from allin1_core.contracts.spectrogram import BANDS, LogSpectrogram
from allin1_core.contracts.stages import Nn, Setup, Task
from allin1_core.errors import BackendError

from allin1_backend_torch import network
from allin1_backend_torch.network_planes import INSTRUMENTS

#: Number of frames of the spectrogram: more than the largest tile, and not a multiple of any.
FRAMES = 139


def expected(model: Model, device: torch.device) -> torch.Tensor:
    """Return logits ``[13, T]`` computed with PyTorch operations.

    Raises
    ------
    WeightsError
        A parameter is missing or has the wrong shape.
    """
    return _joined(network.create(Setup(str(device), model, threads=1))(_on(device), Task()))


def check(call: Nn, device: torch.device, wanted: torch.Tensor, tolerance: float) -> None:
    """Compare the output of `call` with `wanted`.

    Parameters
    ----------
    call
        The network to check.
    device
        Device of its input.
    wanted
        ``[13, T]``, from :func:`expected`.
    tolerance
        Largest allowed difference, relative to the largest logit, or absolute if that is below 1.

    Raises
    ------
    BackendError
        They differ by more, or are not finite.
    """
    given = _joined(call(_on(device), Task()))
    difference = (given - wanted).abs().max().item()
    if not difference <= tolerance * max(1.0, wanted.abs().max().item()):
        raise BackendError(
            f"The network's kernels compute wrong logits on this machine: they differ by {difference:.2g}.",
            remedy="Try another version of Triton, or use the backend torch-cuda, which does not need it.",
        )


def _on(device: torch.device) -> LogSpectrogram:
    """A seeded random spectrogram with values similar to those of music."""
    values = np.random.default_rng(FRAMES).gamma(0.5, 1.0, (INSTRUMENTS, FRAMES, BANDS))
    return LogSpectrogram(torch.from_numpy(values.astype(np.float32)).to(device))


def _joined(logits: Logits) -> torch.Tensor:
    rows = (logits.beat[None], logits.downbeat[None], logits.section[None], logits.function)
    return torch.cat(rows)
