"""Scores of a network on whole songs that it was not trained on, by peaks alone: quick enough to be taken in training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def f_measure(truth: Sequence[float], found: Sequence[float], tolerance: float = 0.07) -> float:
    """F of two rising lists of times, each matched at most once, in order."""
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
    """Times in seconds where `p` [T] is highest within `reach` frames, and above the threshold."""
    top = F.max_pool1d(p[None, None], 2 * reach + 1, 1, reach)[0, 0]
    return ((p == top) & (p > threshold)).nonzero()[:, 0].cpu().numpy() / 100


def scores(y: Tensor, song: dict) -> dict[str, float]:
    """Scores of logits [13, T] of a song as `songs_in_memory.read_song` gives it."""
    p = y[:3].float().sigmoid()
    edges = peaks(p[2], 0.2, 200)
    labels = torch.as_tensor(song["labels"][: y.shape[1]], device=y.device)
    return {
        "beat": f_measure(song["beats"], peaks(p[0], 0.3, 8)),
        "downbeat": f_measure(song["downbeats"], peaks(p[1], 0.3, 20)),
        "HR.5F": f_measure(song["boundaries"], edges, 0.5),
        "HR3F": f_measure(song["boundaries"], edges, 3.0),
        "label": float((y[3:].argmax(0) == labels).float().mean()),
    }


@torch.no_grad()
def validate(logits, songs: Sequence[dict], device) -> dict[str, float]:
    """Mean scores of songs; `logits` gives [1, 13, T] of views [1, 4, T, 81]. Beats also of songs without drums."""
    rows = []
    for song in songs:
        frames = len(song["labels"]) // 4 * 4
        x = torch.from_numpy(song["x"][:frames]).to(device).view(frames, 4, 81).transpose(0, 1)[None]
        rows.append(scores(logits(x.float())[0], song))
    out = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    bare = [row["beat"] for row, song in zip(rows, songs, strict=True) if not song["drums"]]
    if bare:
        out["beat_without_drums"] = float(np.mean(bare))
    return {name: round(value, 4) for name, value in out.items()}
