"""What the exporters write is read as a reference and agrees with the result, to the last digit that the format keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from allin1_core.contracts.export import Song
from allin1_core.contracts.result import AnalysisResult
from allin1_core.contracts.sections import Segment
from allin1_core.evaluation import read_reference
from allin1_core.exports.hooks import allin1_exporters
from allin1_core.selection.probing import load_target

EXPORTERS = {exporter.name: exporter for exporter in allin1_exporters()}
BEATS = [0.512 + 0.48 * i for i in range(33)]
PLACES = [(i + 3) % 4 + 1 for i in range(33)]
RESULT = AnalysisResult(
    Path("song.wav"),
    125,
    BEATS,
    [t for t, place in zip(BEATS, PLACES, strict=True) if place == 1],
    PLACES,
    [Segment(0.0, 8.5, "intro"), Segment(8.5, 17.0, "chorus")],
)


@pytest.mark.parametrize(
    ("name", "beats", "segments"),
    [
        ("jams", True, True),
        ("csv", True, True),
        ("tsv", True, True),
        ("csv-beats", True, False),
        ("tsv-beats", True, False),
        ("beats", True, False),
        ("madmom", True, False),
        ("audacity-beats", True, False),
        ("csv-segments", False, True),
        ("tsv-segments", False, True),
        ("lab", False, True),
        ("audacity-segments", False, True),
    ],
)
def test_what_was_exported_is_read(tmp_path: Path, name: str, beats: bool, segments: bool) -> None:
    if name == "jams":
        pytest.importorskip("jams")
    path = tmp_path / f"song{EXPORTERS[name].suffix}"
    with path.open("wb") as file:
        load_target(EXPORTERS[name].target)([Song(RESULT, "song", path, 17.0)], file)
    found = read_reference(path)
    assert (found.beats is not None, found.segments is not None) == (beats, segments)
    if found.beats is not None and found.downbeats is not None:
        np.testing.assert_allclose(found.beats, RESULT.beats, atol=6e-4)
        np.testing.assert_allclose(found.downbeats, RESULT.downbeats, atol=6e-4)
    if found.segments is not None:
        assert [s.label for s in found.segments] == ["intro", "chorus"]
        assert [s.end for s in found.segments] == pytest.approx([8.5, 17.0])
