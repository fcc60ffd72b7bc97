"""``allin1 bench --demix-error``."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import numpy as np
import pytest
import soundfile

from allin1_core.calibration.precision import demix_error_path, load_errors
from allin1_core.cli import bench
from allin1_core.cli.main import run
from allin1_core.contracts.audio import SAMPLE_RATE, STEMS
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.demix import DemixParameters
from allin1_core.runtime.session import Session

COMMAND = ["bench", "--demix-error"]


class Separator:
    """One that never separates here."""

    def __init__(self, setup):
        pass

    def __call__(self, mix, task):
        raise AssertionError("nothing is to be separated")


class Measuring(Separator):
    """A separator whose half precision is bad."""

    told: list[float]

    def __init__(self, setup):
        self.setup = setup

    def precision_errors(self, mix, task):
        self.told.append(mix.duration_s)
        low = dict.fromkeys(STEMS, 60.0) | {"bass": 12.3}
        return {
            "tf32": dict.fromkeys(STEMS, float("inf")),
            "float16": {**low, "drums": float("-inf")},
        }


class Exact(Separator):
    def precision_errors(self, mix, task):
        return {}


class Silent(Separator):
    pass


class Failing(Silent):
    def precision_errors(self, mix, task):
        raise RuntimeError("no memory")


@pytest.fixture
def offer(monkeypatch, isolated_plugins, make_plugin, tmp_path):
    """Let these separators be installed, and no other."""
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "cache"))
    Measuring.told = []

    def install(*factories):
        module = ModuleType("separators_of_a_test")
        for factory in factories:
            setattr(module, factory.__name__, factory)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        records = [
            Backend(f.__name__.lower(), "demix", f"{module.__name__}:{f.__name__}")
            for f in factories
        ]
        plugins = isolated_plugins(mine=make_plugin(allin1_demix=lambda: records))
        monkeypatch.setattr(bench, "load_plugins", lambda ctx: plugins)
        return plugins

    return install


def test_a_table_is_printed_and_saved_on_request(offer, capsys):
    offer(Measuring, Exact, Silent)
    assert run(COMMAND) == 0
    out = capsys.readouterr().out
    assert "12.3 dB" in out
    assert "overflow" in out
    assert "exact" in out
    assert "It always computes in float32" in out
    assert "does not measure this" in out
    assert Measuring.told == [16.0]
    assert not demix_error_path().exists()
    assert run([*COMMAND, "--save", "--seconds", "1,2"]) == 0
    assert f"Saved to {demix_error_path()}" in capsys.readouterr().out
    assert [(one.precision, one.worst_db) for one in load_errors()] == [
        ("tf32", float("inf")),
        ("float16", float("-inf")),
    ]


def test_a_song_may_be_given_of_which_two_minutes_are_used(offer, tmp_path):
    offer(Measuring)
    for seconds, used in ((2, 2.0), (130, 120.0)):
        noise = np.zeros((seconds * SAMPLE_RATE, 1), np.float32)
        soundfile.write(tmp_path / "song.wav", noise, SAMPLE_RATE)
        assert run([*COMMAND, str(tmp_path / "song.wav")]) == 0
        assert Measuring.told[-1] == used
    assert run([*COMMAND, str(tmp_path / "none.wav")]) == 3


def test_programs_get_json(offer, capsys):
    offer(Measuring)
    assert run([*COMMAND, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert row["decibels"]["float16"]["bass"] == 12.3
    assert row["decibels"]["float16"]["drums"] == "overflow"


def test_a_separator_that_fails_is_status_1_and_the_others_go_on(offer, capsys):
    offer(Failing, Measuring)
    assert run(COMMAND) == 1
    out = capsys.readouterr().out
    assert "RuntimeError: no memory" in out
    assert "12.3 dB" in out


def test_without_a_separator_there_is_status_1(offer, capsys):
    offer()
    assert run(COMMAND) == 1
    assert "allin1 backends" in capsys.readouterr().out


def test_stages_cannot_be_named_besides(offer):
    offer(Measuring)
    assert run([*COMMAND, "--stage", "nn"]) == 2


def test_what_was_saved_changes_what_auto_means_and_is_told_once(offer, capsys):
    plugins = offer(Measuring)
    words = [*COMMAND, "--save", "--demucs-weights", "random:1"]
    assert run(words) == 0

    def precisions(**demix):
        session = Session(plugins=plugins, demix=DemixParameters(**demix))
        (candidate,) = session.candidates(session.request(("demix",), 180.0))["demix"]
        return [session.engine.backends.setup_of(candidate).demix.precision for _ in range(2)]

    capsys.readouterr()
    assert precisions(weights="random:1") == ["tf32", "tf32"]
    assert capsys.readouterr().err.count("computes in TensorFloat-32") == 1
    assert precisions(weights="random:1", precision="float16") == ["float16"] * 2
    assert precisions(weights="random:2") == ["auto"] * 2
