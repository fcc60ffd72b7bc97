"""Programs that import the original run, and an installed original is not shadowed silently."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import metadata

import allin1_core
import numpy as np
import pytest
import soundfile


@pytest.fixture
def no_original():
    try:
        metadata.version("allin1")
    except metadata.PackageNotFoundError:
        return
    pytest.skip("the original is installed here")


def test_a_program_for_the_original_runs(no_original, tmp_path, monkeypatch):
    monkeypatch.setenv("ALLIN1_CONFIG", "")
    monkeypatch.setenv("ALLIN1_CACHE_LIMIT", "0")
    import allin1
    from allin1.config import HARMONIX_LABELS
    from allin1.typings import AnalysisResult, Segment
    from allin1.utils import load_result

    rng = np.random.default_rng(2)
    soundfile.write(tmp_path / "song.wav", rng.normal(0, 0.1, 3 * 44100), 44100)
    result = allin1.analyze(
        tmp_path / "song.wav", out_dir=tmp_path / "struct", model="builtin", multiprocess=False
    )
    assert isinstance(result, AnalysisResult)
    loaded = load_result(tmp_path / "struct" / "song.json")
    assert (loaded.bpm, loaded.beats) == (result.bpm, result.beats)
    assert all(isinstance(one, Segment) and one.label in HARMONIX_LABELS for one in result.segments)
    samples, rate = allin1.sonify(result)
    assert (samples.shape, rate) == ((2, 3 * 44100), 44100)


def test_the_names_are_exported_from_the_core(no_original):
    import allin1

    for name in set(allin1.__all__) - {"__version__"}:
        assert getattr(allin1, name) is getattr(allin1_core, name)
    assert list(inspect.signature(allin1.analyze).parameters)[:2] == ["paths", "out_dir"]


def test_python_m_is_the_command(no_original):
    ran = subprocess.run(
        [sys.executable, "-m", "allin1", "--version"], capture_output=True, text=True, check=True
    )
    assert ran.stdout.startswith("allin1 ")


def test_it_refuses_to_be_imported_beside_the_original(tmp_path):
    info = tmp_path / "allin1-1.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: allin1\nVersion: 1.1.0\n")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import allin1"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert (
        "ImportError: allin1-compat and the original allin1 1.1.0 are both installed" in ran.stderr
    )
    assert "pip uninstall -y allin1 allin1-compat" in ran.stderr
