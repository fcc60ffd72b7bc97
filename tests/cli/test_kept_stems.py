"""``allin1 analyze -k``."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import soundfile

from allin1_core.cli import analyze
from allin1_core.cli.main import run
from allin1_core.contracts.audio import SAMPLE_RATE, Stems
from allin1_core.contracts.backend import Backend
from allin1_core.testing.models import RANDOM_MODEL, model_plugin


@pytest.fixture
def command(monkeypatch, isolated_plugins, make_plugin, model_folder, tmp_path):
    """Words of a command that analyses a song of two seconds with a separator of the test's, and its calls."""
    calls = []

    def create(setup):
        def separate(mix, task):
            calls.append(mix)
            return Stems(np.repeat(mix.samples[None] / 4, 4, axis=0))

        return separate

    module = ModuleType("separator_of_a_test")
    module.create = create
    monkeypatch.setitem(sys.modules, module.__name__, module)
    record = Backend("mine", "demix", f"{module.__name__}:create")
    folder, card = model_folder
    plugins = isolated_plugins(
        model=model_plugin(card), mine=make_plugin(allin1_demix=lambda: [record])
    )
    monkeypatch.setattr(analyze, "load_plugins", lambda ctx: plugins)
    monkeypatch.chdir(tmp_path)
    noise = 0.1 * np.random.default_rng(0).standard_normal((2 * SAMPLE_RATE, 2))
    soundfile.write("song.wav", noise, SAMPLE_RATE)
    words = ["analyze", "song.wav", "-m", RANDOM_MODEL, "--weights-dir", str(folder), "-q"]
    return words, calls


def test_stems_are_kept_where_said_and_used_again(command, tmp_path):
    words, calls = command
    assert run(words) == 0
    assert not (tmp_path / "demix").exists()
    assert run([*words, "-k"]) == 0
    assert (tmp_path / "demix" / "htdemucs" / "song" / "drums.wav").is_file()
    assert run([*words, "--keep-stems", "--demix-dir", "mine"]) == 0
    assert (tmp_path / "mine" / "htdemucs" / "song" / "drums.wav").is_file()
    assert len(calls) == 3
    assert run([*words, "--demix-dir", "mine"]) == 0
    assert run([*words, "-k"]) == 0
    assert len(calls) == 3
    assert run([*words, "-k", "--demix-seed", "3"]) == 6  # other options, the same name
    assert run([*words, "-k", "--demix-seed", "3", "-o", "other"]) == 0
    assert len(calls) == 4


def test_stems_of_unknown_origin_are_status_6_without_overwrite(command, tmp_path, capsys):
    words, _ = command
    folder = tmp_path / "demix" / "htdemucs" / "song"
    folder.mkdir(parents=True)
    (folder / "bass.wav").write_bytes(b"somebody's")
    assert run([*words, "-k"]) == 6
    assert "unknown origin" in capsys.readouterr().err
    assert run([*words, "-k", "--overwrite"]) == 0


def test_a_song_that_is_called_by_dots_alone_costs_no_other_songs_stems(command, tmp_path):
    words, calls = command
    assert run([*words, "-k"]) == 0
    (tmp_path / "..wav").write_bytes((tmp_path / "song.wav").read_bytes()[:-8])
    dots = ["./..wav" if word == "song.wav" else word for word in words]
    for _ in range(2):
        assert run([*dots, "-k"]) == 0
    assert sorted(p.name for p in (tmp_path / "demix" / "htdemucs").iterdir()) == ["_", "song"]
    assert sorted(p.name for p in (tmp_path / "struct").iterdir()) == ["_.json", "song.json"]
    assert len(calls) == 2
