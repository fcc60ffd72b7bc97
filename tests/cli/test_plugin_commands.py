"""Commands of plugins, which are installed for it: listed without being imported, run, and told apart from what is broken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from allin1_core.cli.main import run

HOOKS = """
from allin1_core.contracts.backend import Needs
from allin1_core.contracts.command import Command
from allin1_core.markers import hookimpl

@hookimpl
def allin1_commands():
    yield Command("greet", "plug_cli:greet", "Say hello.")
    yield Command("shout", "plug_missing:shout", "Never importable.")
    yield Command("wrong", "plug_cli:no_command", "Not a command.")
    yield Command("poor", "plug_cli:greet", "Needs more.", Needs(("no-such-library>=1",)))
    yield Command("analyze", "plug_cli:greet", "Takes a name of the core's.")
    yield Command("twin", "plug_cli:greet", "Both have it.")
    yield Command("bad name", "plug_cli:greet", "No name.")
"""
CLI = """
import click
from allin1_core.errors import InputError

no_command = "text"

@click.command()
@click.option("--how", default="well")
def greet(how):
    if how == "fail":
        raise KeyError("inside")
    if how == "input":
        raise InputError("There is nothing to greet.", remedy="Name somebody.")
    if how == "exit":
        raise SystemExit(7)
    click.echo(f"hello, {how}")
"""
TWIN = """
from allin1_core.contracts.command import Command
from allin1_core.markers import hookimpl

@hookimpl
def allin1_commands():
    return [Command("twin", "plug_cli:greet", "Both have it.")]
"""


@pytest.fixture
def site(monkeypatch, tmp_path):
    """Three distributions: a good one, one that shares a name with it, and one that cannot be imported."""
    sources = {"plug_one": HOOKS, "plug_two": TWIN, "plug_three": "raise OSError('no licence')"}
    for module, source in sources.items():
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        name = module.replace("_", "-")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[allin1]\n{name} = {module}\n")
        (tmp_path / f"{module}.py").write_text(source)
    (tmp_path / "plug_cli.py").write_text(CLI)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for module in (*sources, "plug_cli"):
        sys.modules.pop(module, None)


def test_help_lists_commands_of_plugins_without_importing_them(site, capsys) -> None:
    assert run(["--help"]) == 0
    out, err = capsys.readouterr()
    assert "Commands of plugins:\n" in out
    assert "  greet  Say hello." in out
    assert "plug_cli" not in sys.modules
    assert "WARNING: Plugin plug-three (plug-three 1.0) is broken" in err
    assert "Command analyze: allin1 has a command of this name" in err


def test_a_command_of_a_plugin_runs_with_its_options(site, capsys) -> None:
    assert run(["greet", "--how", "gladly"]) == 0
    assert capsys.readouterr().out == "hello, gladly\n"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["greet", "--how", "fail"], 5, "The command greet of plugin plug-one failed: KeyError"),
        (["greet", "--how", "input"], 3, "There is nothing to greet. Name somebody."),
        (["greet", "--how", "exit"], 7, ""),
        (["greet", "--nonsense"], 2, "No such option"),
        (["shout"], 5, "importing plug_missing:shout raised ModuleNotFoundError"),
        (["wrong"], 5, "plug_cli:no_command is a str, not a click command"),
        (["poor"], 5, 'no-such-library is not installed. Install it: pip install "no-such'),
        (["twin"], 2, "plugin plug-two has one of this name too"),
        (["gret"], 2, "Did you mean greet?"),
    ],
)
def test_what_is_wrong_with_a_command_is_said_in_a_line(
    site, capsys, arguments, status, message
) -> None:
    assert run(arguments) == status
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_a_name_that_two_plugins_have_works_when_one_is_blocked(site, capsys) -> None:
    assert run(["--block", "plug-two", "twin"]) == 0
    assert capsys.readouterr().out == "hello, well\n"


def test_a_command_stands_before_a_file_of_its_name(site, capsys, monkeypatch) -> None:
    monkeypatch.chdir(site)
    Path("greet").write_bytes(b"no song")
    assert run(["greet"]) == 0
    assert run(["./greet"]) == 3
    assert "is not audio" in capsys.readouterr().err


def test_a_song_is_found_without_loading_plugins(site, capsys, monkeypatch) -> None:
    def load_plugins(**_):
        raise AssertionError("the plugins were loaded")

    monkeypatch.setattr("allin1_core.plugins.loading.load_plugins", load_plugins)
    with pytest.raises(AssertionError, match="were loaded"):
        run(["greet"])
    assert run(["--version"]) == 0
    assert run(["weights", "--help"]) == 0


def test_the_shell_completes_commands_of_plugins(site) -> None:
    def completions(words: str) -> list[str]:
        asked = {
            "_ALLIN1_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
            "PYTHONPATH": str(site),
        }
        ran = subprocess.run(
            [sys.executable, "-m", "allin1_core"],
            env={**os.environ, **asked},
            capture_output=True,
            text=True,
            check=True,
        )
        assert not ran.stderr
        return ran.stdout.split()

    assert completions("allin1 gre") == ["plain,greet"]
    assert completions("allin1 greet --h") == ["plain,--how", "plain,--help"]
    assert completions("allin1 shout --h") == ["plain,--help"]  # that of allin1
