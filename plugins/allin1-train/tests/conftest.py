"""Shards of toy songs, and Triton's interpreter if there is no GPU."""

import os

import numpy as np
import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"


def toy_song(seed: int, frames: int = 1000) -> dict:
    """Return a song whose beats are clicks in all bands, with louder downbeats and a louder half that is a chorus."""
    rng = np.random.default_rng(seed)
    interval = rng.uniform(0.4, 0.7)
    beats = np.arange(rng.uniform(0, interval), frames / 100 - 0.1, interval)
    x = rng.uniform(0, 0.1, (4, frames, 81))
    for i, beat in enumerate(beats):
        x[:, round(beat * 100)] += 1.5 if i % 4 == 0 else 1.0
    middle = frames // 2
    x[:, middle:, 40:] += 0.5
    labels = np.full(frames, 8)
    labels[middle:] = 9
    return {
        "x": x.astype(np.float16),
        "beats": beats,
        "downbeats": beats[::4],
        "boundaries": np.array([0.0, middle / 100, frames / 100]),
        "labels": labels.astype(np.int8),
        "drums": np.array(seed % 2 == 0),
    }


@pytest.fixture
def toy_shards(tmp_path):
    """Return a folder of eight toy songs."""
    folder = tmp_path / "songs"
    folder.mkdir()
    for seed in range(8):
        np.savez(folder / f"{seed:07d}.npz", **toy_song(seed))
    return folder
