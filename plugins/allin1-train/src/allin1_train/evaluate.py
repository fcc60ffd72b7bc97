"""Scores of weights on shards, decoded in the same way as in allin1."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from allin1_core.contracts.logits import Logits
from allin1_core.contracts.metre import MetreParameters, TempoPrior
from allin1_core.contracts.model import Model, ModelCard
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference import functional, metrical_dbn, metrical_prep, network
from numpy.typing import NDArray

from allin1_train.songs_in_memory import read_song
from allin1_train.supply import shards
from allin1_train.validate import f_measure

THRESHOLD, PRIOR = 0.24, TempoPrior(120.0, 0.7, 0.05)


def run_network(weights: Iterable[Path | str], x: LogSpectrogram) -> Logits:
    """Mean logits of members, computed by the reference."""
    members = []
    for path in weights:
        with np.load(path) as z:
            members.append({name: z[name].astype(np.float32) for name in z.files})
    card = ModelCard("trained", "trained", (), THRESHOLD, "", "", takes="mix")
    return network.create(Setup(model=Model(card, tuple(members)), threads=2))(x, Task())


def reference_logits(weights: Iterable[Path | str], x: LogSpectrogram) -> NDArray[np.float32]:
    """Like :func:`run_network`, as one array [13, T]."""
    y = run_network(weights, x)
    return np.concatenate([np.stack([y.beat, y.downbeat, y.section]), y.function])


def score_song(weights: Sequence[Path | str], song: dict[str, Any]) -> dict[str, float]:
    """Scores of a song from `read_song`, for the available annotations."""
    frames = len(song["labels"])
    x = song["x"].astype(np.float32).reshape(frames, 4, 81).transpose(1, 0, 2)
    y = run_network(weights, LogSpectrogram(np.ascontiguousarray(x)))
    setup = Setup(metre=MetreParameters(threshold=THRESHOLD, tempo_prior=PRIOR))
    metre = metrical_dbn.create(setup)(metrical_prep.create(setup)(y, Task()), Task())
    segments = functional.functional(y, Task()).segments
    edges = [0.0, *(s.end for s in segments)]
    found = {
        "beat": (song["beats"], metre.beat_times_s, 0.07),
        "downbeat": (song["downbeats"], metre.downbeat_times_s, 0.07),
        "HR.5F": (song["boundaries"], edges, 0.5),
        "HR3F": (song["boundaries"], edges, 3.0),
    }
    scores = {
        name: f_measure(true, times, tolerance)
        for name, (true, times, tolerance) in found.items()
        if not np.isnan(true).any()
    }
    known = song["labels"] >= 0
    if known.any():
        labels = np.asarray(y.function).argmax(0)
        scores["label"] = float((labels == song["labels"])[known].mean())
    return scores


def main(arguments: Sequence[str] | None = None) -> None:
    """Print mean scores of weights, their logits averaged."""
    p = argparse.ArgumentParser(prog="allin1-train evaluate", description=main.__doc__)
    p.add_argument("weights", nargs="+", type=Path, help="members' .npz")
    p.add_argument("--songs", type=Path, required=True, help="folder of shards")
    p.add_argument("--most", type=int, default=100, help="number of songs to score (%(default)s)")
    a = p.parse_args(arguments)
    rows = [score_song(a.weights, read_song(path)) for path in shards(a.songs)[: a.most]]
    if not rows:
        raise SystemExit(f"There are no shards in {a.songs}. Create some with: allin1-train songs")
    names = dict.fromkeys(name for row in rows for name in row)
    means = {n: round(float(np.mean([row[n] for row in rows if n in row])), 4) for n in names}
    print(json.dumps({"songs": len(rows), **means}))
