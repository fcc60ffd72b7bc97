"""stdout belongs to results, whatever plugins print, by Python or by the file descriptor."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from allin1_core.cli.main import run
from allin1_core.testing.models import write_random_model

#: Prints wherever a plugin's code runs, by ``print``, by a write to the descriptor and by C.
LOUD = """
import ctypes, os, sys
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.model import ModelCard, WeightsFile
from allin1_core.contracts.speed import Speed
from allin1_core.contracts.verdict import Ready
from allin1_core.markers import hookimpl

def shout(where):
    print("printed", where)
    os.write(1, f"written {{where}}\\n".encode())
    if sys.platform != "win32":
        libc = ctypes.CDLL(None)
        libc.puts(f"put {{where}}".encode())

shout("at import")

@hookimpl
def allin1_models():
    return [{card}]

@hookimpl
def allin1_metrical_prep():
    shout("in a hook")
    speed = (Speed("", 0.0, 1e-9, "a test"),)
    yield Backend("loud", "metrical_prep", "loud:create", probe="loud:probe", speed=speed)

def probe():
    shout("in a probe")
    return Ready("cpu")

def create(setup):
    from allin1_core.reference import metrical_prep
    shout("in a factory")
    call = metrical_prep.create(setup)
    def run(data, task):
        shout("in a call")
        return call(data, task)
    return run

@hookimpl
def allin1_track_finished(track, result, error):
    shout("in an observer")
"""

PLACES = ("at import", "in a hook", "in a probe", "in a factory", "in a call", "in an observer")


@pytest.fixture
def loud(tmp_path):
    """Runs the command in a process of its own, with a plugin that prints."""
    card = write_random_model(tmp_path / "weights")
    site = tmp_path / "site"
    info = site / "loud-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loud\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[allin1]\nloud = loud\n")
    (site / "loud.py").write_text(LOUD.format(card=repr(card)))
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ALLIN1_")}
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    kept |= {"PYTHONPATH": path, "ALLIN1_CONFIG": "", "ALLIN1_CACHE_DIR": str(tmp_path / "cache")}
    kept["ALLIN1_WEIGHTS_DIR"] = str(tmp_path / "weights")

    def command(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "allin1_core", *map(str, arguments)],
            capture_output=True,
            text=True,
            env=kept,
            check=False,
        )

    return command


def test_json_stays_json_whatever_plugins_print(loud, song, tmp_path):
    options = ("--stems-dir", song, "-o", tmp_path / "out", "-m", "random", "--json")
    ran = loud("analyze", *options, "--backend", "metrical_prep=loud")
    assert ran.returncode == 0, ran.stderr
    (line,) = ran.stdout.splitlines()
    result = json.loads(line)
    assert [s["backend"] for s in result["provenance"]["stages"]].count("loud") == 1
    ways = ("printed", "written") if sys.platform == "win32" else ("printed", "written", "put")
    for place in PLACES:
        for way in ways:
            assert f"{way} {place}" in ran.stderr, (way, place)


@pytest.mark.parametrize(
    "command",
    [
        ("plugins", "--json"),
        ("explain", "-m", "random", "--json"),
        ("backends", "-m", "random", "--json"),
    ],
)
def test_other_commands_print_json_alone_too(loud, command):
    ran = loud(*command)
    assert json.loads(ran.stdout), ran.stderr
    assert "printed at import" in ran.stderr


def test_in_a_process_of_others_stdout_is_theirs_again_afterwards(capsys, monkeypatch):
    monkeypatch.setenv("ALLIN1_DISABLE_AUTOLOAD", "1")
    before = sys.stdout
    assert run(["plugins", "--json"]) == 0
    assert sys.stdout is before
    print("mine")
    out = capsys.readouterr().out
    assert json.loads(out[: out.rindex("mine")])["plugins"]
