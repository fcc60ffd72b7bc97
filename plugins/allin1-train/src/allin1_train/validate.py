"""Scores of a network on whole songs that it was not trained on, from peaks only: fast enough during training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from allin1_train.songs_in_memory import Song

Times = Sequence[float] | NDArray[np.float64]


def f_measure(truth: Times, found: Times, tolerance: float = 0.07) -> float:
    """F-measure of two increasing lists of times, each matched at most once, in order."""
    i = j = hits = 0
    while i < len(truth) and j < len(found):
        if abs(truth[i] - found[j]) <= tolerance:
            hits, i, j = hits + 1, i + 1, j + 1
        elif truth[i] < found[j]:
            i += 1
        else:
            j += 1
    return 2 * hits / max(1, len(truth) + len(found))


def peaks(p: Tensor, threshold: float, reach: int) -> np.ndarray:
    """Times in seconds at which `p` [T] is the maximum within `reach` frames, and above the threshold."""
    top = functional.max_pool1d(p[None, None], 2 * reach + 1, 1, reach)[0, 0]
    return ((p == top) & (p > threshold)).nonzero()[:, 0].cpu().numpy() / 100


def scores(y: Tensor, song: Song) -> dict[str, float]:
    """Scores of logits [13, T] of a song from `songs_in_memory.read_song`, for the available annotations."""
    p = y[:3].float().sigmoid()
    edges = peaks(p[2], 0.2, 200)
    found = {
        "beat": (song["beats"], peaks(p[0], 0.3, 8), 0.07),
        "downbeat": (song["downbeats"], peaks(p[1], 0.3, 20), 0.07),
        "HR.5F": (song["boundaries"], edges, 0.5),
        "HR3F": (song["boundaries"], edges, 3.0),
    }
    rated = {
        name: f_measure(true, times, tolerance)
        for name, (true, times, tolerance) in found.items()
        if not np.isnan(true).any()
    }
    labels = torch.as_tensor(song["labels"][: y.shape[1]], device=y.device)
    if (known := labels >= 0).any():
        rated["label"] = float((y[3:].argmax(0) == labels)[known].float().mean())
    return rated


@torch.no_grad()
def validate(
    logits: Callable[[Tensor], Tensor], songs: Sequence[Song], device: torch.device
) -> dict[str, float]:
    """Mean scores of songs; `logits` maps views [1, 4, T, 81] to [1, 13, T]. Beats also for songs without drums only."""
    rows = []
    for song in songs:
        frames = len(song["labels"]) // 4 * 4
        x = (
            torch.from_numpy(song["x"][:frames])
            .to(device)
            .view(frames, 4, 81)
            .transpose(0, 1)[None]
        )
        rows.append(scores(logits(x.float())[0], song))
        if not song["drums"]:
            rows[-1]["beat_without_drums"] = rows[-1]["beat"]
    names = dict.fromkeys(name for row in rows for name in row)
    return {n: round(float(np.mean([row[n] for row in rows if n in row])), 4) for n in names}
