"""With the trained weights: the results of the original package, and the truth of a synthetic song.

Golden results come from allin1 1.1.0 with madmom 0.17.dev0, run on the same stems with the same weights.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import soxr

import allin1_core as allin1
from allin1_core.cli.main import run
from allin1_core.contracts.audio import STEMS
from allin1_core.demo import write_demo
from allin1_core.plugins.loading import load_plugins
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import make_tracks


@pytest.fixture
def plugins():
    """Every backend that is installed; where the session "core" of nox runs these tests, the core alone."""
    return load_plugins(strict=True)


@pytest.mark.parametrize("model", ["harmonix-fold0", "harmonix-all"])
def test_a_real_song_has_the_originals_structure(plugins, shared_dir, weights_dir, golden, model):
    expected = golden("francium_excerpt.json")["fold0" if "fold0" in model else "ensemble"]
    (track,) = make_tracks(stems_dirs=[shared_dir / "music" / "francium"])
    with Session(model, weights_dir=str(weights_dir), plugins=plugins) as session:
        result = session.analyze(track)
    assert result.bpm == expected["bpm"]
    assert result.beats == expected["beats"]
    assert result.downbeats == expected["downbeats"]
    assert result.beat_positions == expected["beat_positions"]
    segments = [{"start": s.start, "end": s.end, "label": s.label} for s in result.segments]
    assert segments == expected["segments"]
    assert result.warnings == []
    assert result.provenance.fallbacks == ()


@pytest.mark.parametrize(
    ("rate", "subtype", "channels", "window_s"),
    [(48_000, "PCM_24", 2, 0.0), (22_050, "FLOAT", 1, 0.02)],
)
def test_stems_of_another_rate_width_and_channel_count_give_the_same_structure(
    tmp_path, shared_dir, weights_dir, golden, rate, subtype, channels, window_s
):
    for stem in STEMS:
        path = shared_dir / "music" / "francium" / f"{stem}.flac"
        samples, _ = soundfile.read(path, dtype="int16")
        other = soxr.resample(samples / 32_767, 44_100, rate, quality="VHQ")
        copies = np.stack([other] * channels, axis=1)
        soundfile.write(tmp_path / f"{stem}.wav", copies, rate, subtype=subtype)
    (track,) = make_tracks(stems_dirs=[tmp_path])
    with Session("harmonix-fold0", weights_dir=str(weights_dir)) as session:
        result = session.analyze(track)
    expected = golden("francium_excerpt.json")["fold0"]
    assert result.bpm == expected["bpm"]
    assert result.beat_positions == expected["beat_positions"]
    # 22 050 Hz has nothing above 11 kHz, which the network notices a little.
    assert np.abs(np.subtract(result.beats, expected["beats"])).max() <= window_s + 1e-9
    assert [s.label for s in result.segments] == [s["label"] for s in expected["segments"]]


def hits(found, truth, window_s=0.07):
    """F-measure of events within a window, each used once."""
    found, truth = np.asarray(found), np.asarray(truth)
    near = np.abs(found[:, None] - truth[None, :]) <= window_s
    matched = min(near.any(axis=0).sum(), near.any(axis=1).sum())
    return 2 * matched / (len(found) + len(truth))


def test_the_demo_is_understood_by_the_command_line(tmp_path, weights_dir, capsys):
    write_demo(tmp_path / "demo")
    truth = json.loads((tmp_path / "demo" / "truth.json").read_text())
    options = ["-m", "harmonix-fold0", "--weights-dir", str(weights_dir)]
    stems = ["--stems-dir", str(tmp_path / "demo" / "stems")]
    assert run(["analyze", *options, *stems, "-o", str(tmp_path / "out")]) == 0
    result = allin1.load_result(tmp_path / "out" / "demo.json")
    assert result.bpm == round(truth["bpm"])
    assert hits(result.beats, truth["beats"]) > 0.95
    assert hits(result.downbeats, truth["downbeats"]) > 0.95
    labels = [segment.label for segment in result.segments if segment.end - segment.start > 1]
    assert labels == [section["label"] for section in truth["segments"]]
