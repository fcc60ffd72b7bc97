"""Readers of results, notes of kept stems, measurements and settings."""

from __future__ import annotations

import io
import json
import logging
import math
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from runner import Target

from allin1_core.calibration.measurements import BridgeMeasurement, Measurement
from allin1_core.calibration.precision import PrecisionError, load_errors, save_errors
from allin1_core.calibration.store import Calibration, load_calibration, save_calibration
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.metre import TempoAlternative
from allin1_core.contracts.result import AnalysisResult, Confidence, Provenance, StageRecord
from allin1_core.contracts.sections import Segment
from allin1_core.io.fingerprint import fingerprint
from allin1_core.io.kept_stems import NOTE, StemsToKeep
from allin1_core.io.results import ACTIVATIONS, load_result, to_json
from allin1_core.runtime.settings import read_settings

logging.disable()


def results(folder: Path) -> list[bytes]:
    """A result with everything, and one of the original package."""
    result = AnalysisResult(
        path=Path("music/song.wav"),
        bpm=120,
        beats=[0.5, 1.0, 1.5],
        downbeats=[0.5],
        beat_positions=[1, 2, 3],
        segments=[Segment(0.0, 8.5, "intro"), Segment(8.5, 20.0, "chorus")],
        confidence=Confidence([0.5, 1.0, 0.25], 0.75, {3: -math.inf, 4: -12.5}),
        warnings=["The song is short."],
        alternatives=[TempoAlternative("half", 60.0, 0.25, 0.0, 2.0)],
        provenance=Provenance(
            "0.1.0",
            "harmonix-all",
            {"kind": "mix", "files": [{"path": "music/song.wav", "frames": 3}]},
            (StageRecord(("nn",), "torch-cpu", "torch", "0.1.0", "cpu", 0.5, ("a to b",)),),
            ("A backend failed.",),
        ),
    )
    content = to_json(result)
    original = {key: content[key] for key in list(content)[:6]}
    return [json.dumps(one, indent=2).encode() for one in (content, original)]


def read_result(path: Path) -> None:
    """Read a result, and do with it what the commands do."""
    json.dumps(to_json(load_result(path)), indent=2)


def archives(folder: Path) -> list[bytes]:
    """Activations, plain and compressed."""
    rng = np.random.default_rng(0)
    arrays = {
        key: rng.random((10, 20) if key == "label" else 20, np.float32) for key in ACTIVATIONS
    }
    contents = []
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, **arrays)
        contents.append(file.getvalue())
    return contents


def embeddings(folder: Path) -> list[bytes]:
    """Embeddings in both orders of memory, and what NumPy pickles."""
    array = np.random.default_rng(0).random((4, 7, 24), np.float32)
    contents = []
    for one in (array, np.asfortranarray(array)):
        file = io.BytesIO()
        np.save(file, one)
        contents.append(file.getvalue())
    return contents


def beside_result(name: str) -> Callable[[Path], None]:
    """Read a result with this file beside it."""

    def read(path: Path) -> None:
        main = path.with_name("song.json")
        if not main.exists():
            main.write_bytes(results(path.parent)[1])
        path.replace(path.with_name(name))
        result = load_result(main)
        for array in [*(result.activations or {}).values(), result.embeddings]:
            assert array is None or np.asarray(array).sum() is not None

    return read


def notes(folder: Path) -> list[bytes]:
    """The note of kept stems."""
    content = {
        **{"schema": 2, "source": "/music/song.wav", "content": "blake2b:00"},
        **{"separation": asdict(DemixParameters()), "by": ["torch-cpu", "torch", "0.1.0"]},
        "sizes": {"bass.wav": 1688},
    }
    return [json.dumps(content, indent=1).encode()]


def read_note(path: Path) -> None:
    """Look for stems beside a note, and prepare to replace them."""
    folder = path.parent / "song"
    folder.mkdir(exist_ok=True)
    path.replace(folder / NOTE)
    source = path.parent / "song.wav"
    source.write_bytes(b"a song")
    kept = StemsToKeep(folder, source, DemixParameters(), fingerprint(source))
    kept.find("torch")
    kept.check(overwrite=True)


CONDITIONS = {"machine": "this", "device": "cpu", "detail": "", "versions": "a 1"}


def calibrations(folder: Path) -> list[bytes]:
    """Measurements of a backend and a bridge."""
    measured = Calibration(
        (Measurement("nn", "torch-cpu", CONDITIONS, 0.5, 0.01, "2026-11-22"),),
        (
            BridgeMeasurement(
                "numpy/cpu", "torch/cuda", "a:b", CONDITIONS, 0.001, 1e-9, "2026-11-22"
            ),
        ),
    )
    return [save_calibration(measured, folder / "original").read_bytes()]


def read_calibration(path: Path) -> None:
    """Read measurements, and add to them."""
    measured = load_calibration(path)
    measured.updated(measured)


def precisions(folder: Path) -> list[bytes]:
    """Errors of precisions."""
    decibels = {"bass": 40.5, "drums": math.inf}
    error = PrecisionError("torch-cuda", "float16", CONDITIONS, decibels, "2026-11-22")
    return [save_errors([error], folder / "original").read_bytes()]


def read_precisions(path: Path) -> None:
    """Read errors of precisions, and look at them."""
    for error in load_errors(path):
        assert error.worst_db is not None


def settings(folder: Path) -> list[bytes]:
    """A configuration file with everything in it."""
    return [
        b"""model = "harmonix-fold0"
device = "cuda"
parity = "close"  # identical, close or lossy
threads = 4
calibrate = true
weights_dir = "~/weights"

[backends]
nn = "torch"

[plugins.mine]
batch = 4
"""
    ]


def read_config(path: Path) -> None:
    """Read a configuration file."""
    os.environ["ALLIN1_CONFIG"] = str(path)
    read_settings()


TARGETS = (
    Target("result", ".json", results, read_result),
    Target("activations", ".npz", archives, beside_result("song.activ.npz")),
    Target("embeddings", ".npy", embeddings, beside_result("song.embed.npy")),
    Target("separation", ".note", notes, read_note),
    Target("calibration", ".json", calibrations, read_calibration),
    Target("demix-error", ".json", precisions, read_precisions),
    Target("settings", ".toml", settings, read_config),
)
