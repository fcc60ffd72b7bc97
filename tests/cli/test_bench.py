"""``allin1 bench``."""

from __future__ import annotations

import json

import pytest

from allin1_core.calibration.store import calibration_path, load_calibration
from allin1_core.cli import bench
from allin1_core.cli.main import run
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.speed import Speed

QUICK = ["bench", "--stage", "metrical_prep", "--seconds", "0.5,1"]


@pytest.fixture(autouse=True)
def _alone(monkeypatch, isolated_plugins, tmp_path):
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path))
    plugins = isolated_plugins()
    monkeypatch.setattr(bench, "load_plugins", lambda ctx: plugins)


def test_a_table_is_printed_and_saved_only_on_request(capsys):
    assert run(QUICK) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[1].split()[:3] == ["metrical_prep", "reference", "cpu"]
    assert not calibration_path().exists()
    assert run([*QUICK, "--save"]) == 0
    assert f"Saved to {calibration_path()}" in capsys.readouterr().out
    (saved,) = load_calibration().backends
    assert (saved.stage, saved.backend) == ("metrical_prep", "reference")


def test_programs_get_json(capsys):
    assert run([*QUICK, "--json", "--save"]) == 0
    told = json.loads(capsys.readouterr().out)
    (row,) = told["backends"]
    assert told["bridges"] == []
    assert row["measurement"]["rate"] >= 0
    assert row["difference"] == 0


def test_a_backend_that_fails_is_status_1(capsys, monkeypatch, isolated_plugins, make_plugin):
    bad = Backend("bad", "metrical_prep", "no_such_module:create", speed=(Speed("", 0, 1, "x"),))
    plugins = isolated_plugins(mine=make_plugin(allin1_metrical_prep=lambda: [bad]))
    monkeypatch.setattr(bench, "load_plugins", lambda ctx: plugins)
    assert run(QUICK) == 1
    assert "no_such_module" in capsys.readouterr().out


def test_wrong_use_is_status_2(capsys):
    assert run(["bench", "--stage", "nm"]) == 2
    assert run(["bench", "--seconds", "5"]) == 2
    assert "not of the form 4,16" in capsys.readouterr().err
