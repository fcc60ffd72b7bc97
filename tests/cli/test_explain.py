"""``allin1 explain``."""

from __future__ import annotations

import json
import tempfile

import numpy as np
import pytest
import soundfile

from allin1_core.cli import explain
from allin1_core.cli.main import run
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.speed import Speed


@pytest.fixture(autouse=True)
def _alone(monkeypatch, isolated_plugins):
    plugins = isolated_plugins()
    monkeypatch.setattr(explain, "load_plugins", lambda ctx: plugins)


def test_the_model_the_route_and_the_reasons_are_printed(capsys, song, monkeypatch):
    monkeypatch.delenv("ALLIN1_WEIGHTS_DIR", raising=False)
    assert run(["explain", "--stems-dir", str(song)]) == 0
    out = capsys.readouterr().out
    assert "model      builtin (harmonix-all is not used" in out
    assert "asked for  3 s of audio" in out
    assert "route      spectrogram=reference-mix, nn=reference" in out
    assert run(["explain", "--seconds", "3600", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["audio_s"] == 3600
    assert {step["backend"] for step in told["route"]} == {"reference", "reference-mix"}
    assert told["model"]["name"] == "builtin"
    assert "harmonix-all" in told["model"]["other"]


def test_a_set_up_counts_once_for_all_songs(capsys, monkeypatch, make_plugin, isolated_plugins):
    slow = Backend(
        name="fast-but-slow-to-set-up",
        stage="functional",
        target="allin1_core.reference.functional:create",
        speed=(Speed("cpu", 60.0, 1e-9, "a test"),),
    )
    plugins = isolated_plugins(mine=make_plugin(allin1_functional=lambda: [slow]))
    monkeypatch.setattr(explain, "load_plugins", lambda ctx: plugins)
    assert run(["explain"]) == 0
    assert "functional=reference" in capsys.readouterr().out
    assert run(["explain", "--songs", "1000000"]) == 0
    out = capsys.readouterr().out
    assert "asked for  1000000 songs, each 180 s of audio, from numpy/cpu" in out
    assert f"functional={slow.name}" in out
    assert run(["explain", "--songs", "1000000", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["songs"], told["audio_s"]) == (1_000_000, 180_000_000)


def test_what_was_named_and_where_is_told(capsys, monkeypatch):
    monkeypatch.setenv("ALLIN1_BACKEND", "nn=reference")
    assert run(["explain", "--all", "-b", "functional=reference", "--parity", "identical"]) == 0
    out = capsys.readouterr().out
    assert "nn=reference (ALLIN1_BACKEND)" in out
    assert "functional=reference (argument)" in out
    assert "parity identical" in out


def test_both_a_song_and_a_length_are_refused(capsys):
    assert run(["explain", "x.wav", "--seconds", "3"]) == 2
    assert "or --seconds" in capsys.readouterr().err


def test_settings_that_cannot_be_understood_are_status_2(capsys, monkeypatch):
    monkeypatch.setenv("ALLIN1_BACKEND", "torch")
    assert run(["explain"]) == 2
    assert "stage=name" in capsys.readouterr().err


def test_measuring_is_told_of_as_it_happens_and_only_on_request(
    capsys, monkeypatch, isolated_plugins, make_plugin, tmp_path
):
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "models"))
    twin = Backend("twin", "functional", "allin1_core.reference.functional:create")
    plugins = isolated_plugins(mine=make_plugin(allin1_functional=lambda: [twin]))
    monkeypatch.setattr(explain, "load_plugins", lambda ctx: plugins)
    assert run(["explain"]) == 0
    assert capsys.readouterr().err == ""
    assert run(["explain", "--calibrate"]) == 0
    printed = capsys.readouterr()
    assert [line.split(" on ")[0] for line in printed.err.splitlines()] == [
        "INFO: measuring functional=reference",
        "INFO: measuring functional=twin",
    ]
    assert printed.out.count("measured here on") == 2
    assert run(["explain", "--calibrate"]) == 0
    assert capsys.readouterr().err == ""


def test_that_there_is_no_route_is_explained_like_a_route(capsys, monkeypatch, isolated_plugins):
    arguments = ["explain", "-b", "functional=reference", "--device", "npu"]
    assert run(arguments) == 5
    printed = capsys.readouterr()
    assert "route      none" in printed.out
    assert "reference" in printed.out
    assert printed.err == (
        "allin1: error: No installed backend runs on device npu. 'allin1 backends' lists the installed ones.\n"
    )
    assert run([*arguments, "--json"]) == 5
    values = json.loads(capsys.readouterr().out)
    assert values["route"] is None
    assert values["trouble"]["message"] == "No installed backend runs on device npu."
    assert values["stages"]["nn"][0]["name"] == "reference"


@pytest.mark.parametrize("words", [["backends"], ["explain"]])
def test_what_cannot_run_is_counted_and_shown_on_demand(words, monkeypatch, capsys):
    monkeypatch.setenv("ALLIN1_DISABLE_AUTOLOAD", "1")
    assert run([*words, "-m", "builtin", "--device", "cpu"]) == 0
    short = capsys.readouterr().out
    assert run([*words, "-m", "builtin", "--device", "cpu", "--all"]) == 0
    whole = capsys.readouterr().out
    refused = [line for line in whole.splitlines() if line.startswith("  - ")]
    assert refused
    assert not [line for line in short.splitlines() if line.startswith("  - ")]
    assert "cannot run here)" in short


def test_a_song_at_a_url_is_explained_and_removed(capsys, monkeypatch, tmp_path):
    fsspec = pytest.importorskip("fsspec", reason='URLs need "allin1-core[urls]"')
    soundfile.write(tmp_path / "song.wav", np.zeros((44100, 2)), 44100)
    files = fsspec.filesystem("memory")
    files.pipe("/song.wav", (tmp_path / "song.wav").read_bytes())
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    assert run(["explain", "-m", "builtin", "memory://song.wav"]) == 0
    assert "builtin" in capsys.readouterr().out
    assert run(["explain", "memory://missing.wav"]) == 3
    assert "memory://missing.wav: does not exist" in capsys.readouterr().err
    assert list((tmp_path / "temporary").iterdir()) == []
    files.store.clear()
