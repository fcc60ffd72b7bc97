"""Code of a plugin that changes the current folder does not misdirect files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import allin1_core as allin1
from allin1_core.cli import analyze
from allin1_core.cli.main import run
from allin1_core.testing.models import model_plugin


@pytest.fixture
def wandering(monkeypatch, isolated_plugins, make_plugin, model_folder, tmp_path):
    """Plugins of which one changes the current folder; and arguments of a session."""
    folder, card = model_folder
    (tmp_path / "elsewhere").mkdir()

    def wander(track, result):
        os.chdir(tmp_path / "elsewhere")

    plugins = isolated_plugins(
        model=model_plugin(card), wandering=make_plugin(allin1_postprocess_result=wander)
    )
    monkeypatch.setattr(analyze, "load_plugins", lambda ctx: plugins)
    monkeypatch.chdir(tmp_path)
    return plugins, str(folder)


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_files_of_the_command_go_where_they_were_asked(wandering, song, tmp_path, capsys):
    stems = str(song.relative_to(tmp_path))
    arguments = ["-m", "random", "--weights-dir", wandering[1], "--stems-dir", stems]
    arguments += ["-o", "out", "--report", "report", "--timings-path", "times"]
    arguments += ["--array-dir", "arrays", "-a", "--export", "csv"]
    assert run(["analyze", *arguments]) == 0
    assert files(tmp_path / "elsewhere") == []
    found = files(tmp_path)
    for name in ("out/song.json", "out/song.csv", "arrays/song.activ.npz", "report", "times"):
        assert name in found
    assert capsys.readouterr().out.startswith(f"{Path('out', 'song.json')}: ")
    line = json.loads((tmp_path / "report").read_text())
    assert line["output"] == str(Path("out", "song.json"))


def test_files_of_the_function_do_too(wandering, song, tmp_path):
    plugins, weights_dir = wandering
    copies = [tmp_path / name for name in ("one", "two")]
    for copy in copies:
        copy.mkdir()
        for stem in song.iterdir():
            (copy / stem.name).write_bytes(stem.read_bytes())
        stems = {
            name: Path(copy.name, f"{name}.wav") for name in ("bass", "drums", "other", "vocals")
        }
        os.chdir(tmp_path)
        outcomes = list(
            allin1.analyze_iter(
                stems=stems, out_dir="out", model="random", weights_dir=weights_dir, plugins=plugins
            )
        )
        assert [outcome.written for outcome in outcomes] == [Path("out", f"{copy.name}.json")]
    assert files(tmp_path / "elsewhere") == []
    assert files(tmp_path / "out") == ["one.json", "two.json"]
