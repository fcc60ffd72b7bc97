"""Weights as files of allin1: ``.npz``, upstream's names, convolution kernels laid out O, H, W, I."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def save_weights(state: Mapping[str, Tensor], path: Path | str, dtype: str = "float32") -> None:
    """Write named parameters; as ``float16`` they take half the place and are rounded."""
    arrays = {name: value.detach().float().cpu().numpy() for name, value in state.items()}
    arrays = {n: a.transpose(0, 2, 3, 1).copy() if a.ndim == 4 else a for n, a in arrays.items()}
    np.savez(path, **{name: a.astype(dtype) for name, a in arrays.items()})


def load_weights(path: Path | str) -> dict[str, Tensor]:
    """Read named parameters, float32."""
    state = {}
    with np.load(path) as z:
        for name in z.files:
            a = z[name].astype(np.float32)
            state[name] = torch.from_numpy(a.transpose(0, 3, 1, 2).copy() if a.ndim == 4 else a)
    return state
