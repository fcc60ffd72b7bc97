"""Weights as files for allin1: ``.npz`` with the names of all-in-one, and convolution kernels in the order O, H, W, I."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor


def save_weights(
    state: Mapping[str, Tensor], path: Path | str | IO[bytes], dtype: str = "float32"
) -> None:
    """Write named parameters; ``float16`` halves the size, with rounding."""
    arrays = {name: value.detach().float().cpu().numpy() for name, value in state.items()}
    arrays = {n: a.transpose(0, 2, 3, 1).copy() if a.ndim == 4 else a for n, a in arrays.items()}
    rounded: dict[str, Any] = {name: a.astype(dtype) for name, a in arrays.items()}
    np.savez(path, **rounded)


def load_weights(path: Path | str) -> dict[str, Tensor]:
    """Read named parameters, float32."""
    state = {}
    with np.load(path) as z:
        for name in z.files:
            a = z[name].astype(np.float32)
            state[name] = torch.from_numpy(a.transpose(0, 3, 1, 2).copy() if a.ndim == 4 else a)
    return state


def difference_from_reference(path: Path | str, frames: int = 1200) -> float:
    """Largest difference of logits between this network and allin1-core's reference, both with a file's weights."""
    from allin1_core.contracts.spectrogram import LogSpectrogram

    from allin1_train.evaluate import reference_logits
    from allin1_train.network import Net

    x = np.abs(np.random.default_rng(0).standard_normal((4, frames, 81))).astype(np.float32) * 0.5
    net = Net().eval()
    net.load_state_dict(load_weights(path))
    with torch.no_grad():
        ours = net(torch.from_numpy(x)[None])[0].numpy()
    return float(np.abs(ours - reference_logits([path], LogSpectrogram(x))).max())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    p = argparse.ArgumentParser(prog="allin1-train export", description=main.__doc__)
    p.add_argument("weights", type=Path, help="a member's .npz")
    p.add_argument("out", type=Path, help="the file to write")
    p.add_argument("--dtype", choices=("float16", "float32"), default="float16")
    a = p.parse_args(arguments)
    save_weights(load_weights(a.weights), a.out, a.dtype)
    off = difference_from_reference(a.out)
    if not off < 1e-4:  # also fails for NaN
        raise SystemExit(f"{a.out}: the logits differ from the reference by {off:.1e}.")
    print(f"{a.out}: {a.out.stat().st_size} bytes; logits differ from the reference by {off:.1e}")
