"""Options of plugins set by users are passed to the factories."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import pytest

from allin1_core.cli import analyze, explain
from allin1_core.cli.main import run
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.options import Option
from allin1_core.contracts.speed import Speed
from allin1_core.errors import SettingsError
from allin1_core.reference import metrical_prep
from allin1_core.testing.signals import song_logits

STAGE = "metrical_prep"


@pytest.fixture
def plugin(make_plugin, monkeypatch):
    """A plugin with options, and the list of those that its factory was called with."""
    seen = []

    def create(setup):
        seen.append(setup.options)
        return metrical_prep.create(setup)

    module = ModuleType("backend_with_options")
    module.create = create
    monkeypatch.setitem(sys.modules, module.__name__, module)
    record = Backend(
        "able",
        STAGE,
        f"{module.__name__}:create",
        speed=(Speed("cpu", 0.0, 1e-9, "a test"),),
        options=(Option("batch", int, 4, "Frames at once"), Option("fused", bool, True)),
    )
    return make_plugin(**{f"allin1_{STAGE}": lambda: [record]}), seen


@pytest.fixture
def config(tmp_path, monkeypatch):
    def write(text):
        path = tmp_path / "config.toml"
        path.write_text(text)
        monkeypatch.setenv("ALLIN1_CONFIG", str(path))
        return path

    return write


def options_seen(make_session, plugin, **options):
    made, seen = plugin
    with make_session(plugins={"mine": made}, **options) as session:
        session.run(song_logits(200), outputs=["activations"])
    return seen[-1]


def test_a_factory_gets_the_defaults_the_file_and_the_arguments_in_this_order(
    make_session, plugin, config
):
    # Loading removes the variable that names the file, so the session of this test reads it later.
    assert options_seen(make_session, plugin) == {"batch": 4, "fused": True}
    given = {"mine": {"batch": "16"}}
    assert options_seen(make_session, plugin, plugin_options=given) == {"batch": 16, "fused": True}


def test_an_argument_takes_precedence_over_the_table_in_the_file(plugin, config, isolated_plugins):
    from allin1_core.runtime.session import Session

    plugins = isolated_plugins(mine=plugin[0])
    config("[plugins.mine]\nbatch = 8\nfused = false\n")
    for given, wanted in ((None, 8), ({"mine": {"batch": 16}}, 16)):
        with Session(plugin_options=given, plugins=plugins) as session:
            session.run(song_logits(200), outputs=["activations"])
        assert plugin[1][-1] == {"batch": wanted, "fused": False}


def test_a_wrong_option_ends_a_session_before_anything_runs(make_session, plugin):
    with pytest.raises(SettingsError, match="Did you mean batch"):
        options_seen(make_session, plugin, plugin_options={"mine": {"bach": 4}})
    with pytest.raises(SettingsError, match="wanted a whole number"):
        options_seen(make_session, plugin, plugin_options={"mine": {"batch": "many"}})


def test_what_was_measured_holds_for_the_same_values_of_options(make_session, plugin):
    conditions = []
    for given in ({}, {"mine": {"batch": 4}}, {"mine": {"batch": 16}}):
        with make_session(plugins={"mine": plugin[0]}, plugin_options=given) as session:
            found = session.candidates(session.request((STAGE,), 10.0))[STAGE]
            prices = session.engine.prices
            by_name = {c.backend.name: prices.conditions_of(c) for c in found}
        assert "options" not in by_name["reference"]
        conditions.append(by_name["able"])
    assert conditions[0] == conditions[1]
    assert conditions[0]["options"] == "batch 4, fused True"
    assert conditions[2]["options"] == "batch 16, fused True"


def test_the_command_line_sets_options(capsys, monkeypatch, isolated_plugins, plugin):
    plugins = isolated_plugins(mine=plugin[0])
    for module in (analyze, explain):
        monkeypatch.setattr(module, "load_plugins", lambda ctx: plugins)
    assert run(["explain", "-O", "mine.batch=8", "--option", "mine.fused=off"]) == 0
    assert f"{STAGE}=able" in capsys.readouterr().out
    for arguments, message in (
        (["-O", "mine.batch=many"], "batch is 'many'; wanted a whole number."),
        (["-O", "mine.bach=8"], "Did you mean batch?"),
        (["-O", "mien.batch=8"], "There is no plugin mien"),
        (["-O", "batch=8"], "not of the form PLUGIN.OPTION=VALUE"),
        (["-O", "mine.batch"], "not of the form PLUGIN.OPTION=VALUE"),
    ):
        for command in (["explain"], ["analyze", "x.wav"]):
            assert run([*command, *arguments]) == 2
            assert message in capsys.readouterr().err


def test_allin1_plugins_lists_options(capsys, monkeypatch, isolated_plugins, plugin):
    from allin1_core.plugins import loading

    plugins = isolated_plugins(mine=plugin[0])
    monkeypatch.setattr(loading, "load_plugins", lambda **options: plugins)
    assert run(["plugins"]) == 0
    assert "option mine.batch (int, 4): Frames at once" in capsys.readouterr().out
    assert run(["plugins", "--json"]) == 0
    options = json.loads(capsys.readouterr().out)["options"]
    assert options["mine"][0] == {
        "name": "batch",
        "type": "int",
        "default": 4,
        "help": "Frames at once",
    }
    assert options["reference"] == []
