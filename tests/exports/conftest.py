from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allin1_core.contracts.export import Song
from allin1_core.contracts.result import AnalysisResult
from allin1_core.contracts.sections import Segment
from allin1_core.exports.hooks import allin1_exporters
from allin1_core.selection.probing import load_target

EXPORTERS = {exporter.name: exporter for exporter in allin1_exporters()}


def a_song(seed: int = 0, *, bars: int = 32, drift: float = 0.01, **changes: Any) -> Song:
    """A song whose tempo wanders, with a pick-up of one beat and a label that needs escaping."""
    rng = np.random.default_rng(seed)
    count = 4 * bars + 1
    intervals = 60 / 124 * (1 + drift * np.cumsum(rng.standard_normal(count)) / np.sqrt(count))
    beats = [float(t) for t in 0.512 + np.cumsum(intervals)]
    places = [(i - 1) % 4 + 1 for i in range(count)]
    downbeats = [t for t, place in zip(beats, places, strict=True) if place == 1]
    end = beats[-1] + 3.25
    middle = downbeats[bars // 2]
    segments = [
        Segment(0.0, downbeats[0], "intro"),
        Segment(downbeats[0], middle, 'verse "1"\t& <more>'),
        Segment(middle, end, "Refrain é"),
    ]
    result = AnalysisResult(Path("/music/Café #1.mp3"), 124, beats, downbeats, places, segments)
    song = Song(result, "Café #1", Path("/music/Café #1.mp3"), end, 48_000)
    return replace(song, **changes)


def empty_song() -> Song:
    """A song in which nothing was found."""
    result = AnalysisResult(Path("x.wav"), None, [], [], [], [])
    return Song(result, "x", Path("/x.wav"), 1.0)


def written(name: str, *songs: Song) -> bytes:
    file = BytesIO()
    load_target(EXPORTERS[name].target)(songs, file)
    return file.getvalue()


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, *songs: Song) -> Path:
        path = tmp_path / f"song{EXPORTERS[name].suffix}"
        path.write_bytes(written(name, *songs))
        return path

    return write
