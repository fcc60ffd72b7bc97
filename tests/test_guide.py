"""The guide for authors of plugins: its files are combined into a plugin, installed, and used as described."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from allin1_core.contracts.audio import SAMPLE_RATE, STEMS
from allin1_core.testing.signals import music_stems

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "plugins.md"

pytest.importorskip("scipy", reason="the guide's spectrogram uses SciPy")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on the path with the guide's package, announced by an entry point."""
    folder = tmp_path_factory.mktemp("site")
    text = GUIDE.read_text(encoding="utf-8")
    files: dict[str, str] = {}
    for name, source in re.findall(
        r"^```python\n# (my_package/\w+\.py)\n(.*?)^```", text, re.M | re.S
    ):
        files[name] = files.get(name, "") + source
    (weights,) = re.findall(r"^```json\n(.*?)^```", text, re.M | re.S)
    (entry,) = re.findall(r'^\[project.entry-points.allin1\]\n(mine = ".*")', text, re.M)
    files["my_package/hooks.py"] = _one_function_a_hook(files["my_package/hooks.py"])
    files |= {"my_package/__init__.py": "", "my_package/weights/__init__.py": ""}
    files["my_package/weights/loudness.json"] = weights
    files["my_package-1.0.dist-info/METADATA"] = (
        "Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n"
    )
    files["my_package-1.0.dist-info/entry_points.txt"] = "[allin1]\n" + entry.replace('"', "")
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8", newline="\n")
    return folder


def _one_function_a_hook(source: str) -> str:
    """The guide implements some hooks more than once, where one module would have one function with all records."""
    parts = re.split(r"^@hookimpl\ndef (allin1_\w+)\((.*)\):\n", source, flags=re.M)
    bodies: dict[str, list[str]] = {}
    head, rest = parts[0], parts[1:]
    for name, arguments, body in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        lines = body.splitlines(keepends=True)
        own = [line for line in lines if line.startswith(" ") or not line.strip()]
        head += "".join(line for line in lines if line not in own)
        bodies.setdefault(f"{name}({arguments})", []).append("".join(own))
    return head + "".join(
        f"\n\n@hookimpl\ndef {signature}:\n{''.join(parts)}" for signature, parts in bodies.items()
    )


@pytest.fixture
def allin1(site: Path, tmp_path: Path):
    """Run the command line in a folder of its own, where the plugin is installed; gives what it prints."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ALLIN1_")}
    environment |= {"PYTHONPATH": str(site), "ALLIN1_CONFIG": ""}
    environment["ALLIN1_CACHE_DIR"] = str(tmp_path / "cache")

    def run(*arguments: str, status: int = 0) -> str:
        ran = subprocess.run(
            [sys.executable, "-m", "allin1_core", "--strict", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == status, ran.stderr
        return ran.stdout

    return run


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """A song of 20 seconds, the second half louder, as samples in a NumPy array; stems beside it."""
    stems = music_stems(20.0).samples
    stems = np.repeat(stems, 2, axis=1) if stems.shape[1] == 1 else stems
    stems = stems * np.where(np.arange(stems.shape[-1]) < stems.shape[-1] // 2, 0.02, 1.0)
    np.save(tmp_path / "song.npy", stems.sum(axis=0).T)
    for name, samples in zip(STEMS, stems, strict=True):
        soundfile.write(tmp_path / f"song.{name}.wav", samples.T, SAMPLE_RATE)
    return tmp_path / "song.npy"


def result(folder: Path) -> dict:
    return json.loads((folder / "struct" / "song.json").read_text(encoding="utf-8"))


def test_every_hook_of_the_guide_is_accepted(allin1) -> None:
    content = json.loads(allin1("plugins", "--json"))
    hooks = {one["hook"]: one["text"] for one in content["hooks"] if one["plugin"] == "mine"}
    assert hooks["allin1_spectrogram"] == "mine, metronome"
    assert hooks["allin1_models"] == "loudness, metronome"
    assert hooks["allin1_demix"] == "mine"
    assert hooks["allin1_exporters"] == hooks["allin1_executors"] == "mine"
    assert hooks["allin1_commands"] == "tempi"
    assert {"allin1_find_stems", "allin1_result_written", "allin1_audio_loaders"} <= set(hooks)


def test_what_the_guide_brings_keeps_its_promises(allin1) -> None:
    verdicts = json.loads(allin1("plugin", "check", "mine", "--no-timing", "--json"))
    subjects = {one["subject"] for one in verdicts if one["state"] == "kept"}
    assert {"audio loader npy", "command tempi", "executor mine", "exporter mine"} < subjects


def test_the_model_the_loader_the_command_and_the_exporter_work_together(
    allin1, song, tmp_path
) -> None:
    allin1("analyze", "-m", "loudness", "--executor", "mine", "--export", "mine", "song.npy")
    found = result(tmp_path)
    assert [one["label"] for one in found["segments"]] == ["calm", "loud"]
    assert found["segments"][1]["start"] == pytest.approx(10.0, abs=1.0)
    assert found["provenance"]["labels"] == ["calm", "loud"]
    assert found["provenance"]["input"]["files"][0]["decoder"] == "mine/npy 1.0"
    assert (tmp_path / "struct" / "written.txt").read_text() == "song song.json\n"
    lines = (tmp_path / "struct" / "song.mine").read_text().splitlines()
    assert [line.split()[1] for line in lines] == ["calm", "loud"]
    assert allin1("tempi", "struct/song.json") == f"{found['bpm']}  struct/song.json\n"


def test_beats_and_sections_come_from_one_backend(allin1, song, tmp_path) -> None:
    allin1("analyze", "-m", "metronome", "song.npy")
    found = result(tmp_path)
    assert found["bpm"] == 120
    assert [one["label"] for one in found["segments"]] == ["song"]
    assert [stage["backend"] for stage in found["provenance"]["stages"]] == ["metronome"]


def test_separator_and_spectrogram_run_where_they_are_named_and_stems_are_found_elsewhere(
    allin1, song, tmp_path
) -> None:
    lines = allin1("explain", "song.npy", "-m", "harmonix-fold0", "-b", "spectrogram=mine")
    assert "spectrogram=mine" in lines
    assert "demix=" not in lines
    lines = allin1("explain", "song.npy", "-m", "harmonix-fold0", "-b", "demix=mine")
    assert "demix=mine" in lines


CONFORMANCE = """
from allin1_core.testing.conformance import DemixConformance, SpectrogramConformance

class TestSpectrogram(SpectrogramConformance):
    hooks = "my_package.hooks"
    backend = "mine"
    heavy = ("scipy",)

class TestSeparator(DemixConformance):
    hooks = "my_package.hooks"
    backend = "mine"
    seeded = False
"""


def test_spectrogram_and_separator_pass_the_kit(site, tmp_path) -> None:
    (tmp_path / "test_mine.py").write_text(CONFORMANCE)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
