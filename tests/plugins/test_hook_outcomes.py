"""``allin1 plugins --verbose``: the outcome of each hook of each plugin."""

from __future__ import annotations

import json
from types import ModuleType

import pytest

from allin1_core.cli import plugins as cli_plugins
from allin1_core.cli.main import run
from allin1_core.contracts.audio_loader import AudioLoader
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.command import Command
from allin1_core.contracts.executor import Executor
from allin1_core.contracts.export import Exporter
from allin1_core.contracts.model import ModelCard, SeparatorCard
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.hookspecs import SPECS
from allin1_core.markers import hookimpl

GIVEN = {
    "allin1_demix": [Backend("sep", "demix", "a:b")],
    "allin1_spectrogram": [Backend("spec", "spectrogram", "a:b"), "text"],
    "allin1_nn": [Backend("net", "nn", "a:b")],
    "allin1_metrical_prep": [Backend("prep", "metrical_prep", "a:b")],
    "allin1_metrical_dbn": [],
    "allin1_functional": [Backend("sec", "functional", "a:b")],
    "allin1_bridges": [Bridge(HOST, Space("mine", "npu"), "a:b")],
    "allin1_models": [ModelCard("mod", "", (), 0.1, "MIT", "here")],
    "allin1_separators": [SeparatorCard("unet", "", (), "MIT", "here")],
    "allin1_exporters": [Exporter("form", ".form", "", "a:b")],
    "allin1_audio_loaders": [AudioLoader("load", "a:b", (".x",))],
    "allin1_executors": [Executor("cluster", "", "a:b")],
    "allin1_commands": [Command("tag", "a:b", ""), Command("bench", "a:b", "")],
}


@pytest.fixture
def plugin():
    """A plugin that implements every hook of this core, and one of a later core."""
    module = ModuleType("every_hook")
    for specs in SPECS:
        for name in vars(specs):
            if name.startswith("allin1_"):
                given = GIVEN.get(name)
                setattr(module, name, hookimpl(lambda given=given: given))
    module.allin1_of_the_future = hookimpl(optionalhook=True)(lambda: [])
    return module


@pytest.fixture
def show(plugin, isolated_plugins, monkeypatch, capsys):
    plugins = isolated_plugins(mine=plugin)
    monkeypatch.setattr(cli_plugins, "load_plugins", lambda ctx: plugins)

    def show(*options: str) -> str:
        assert run(["plugins", *options]) == 0
        return capsys.readouterr().out

    return show


def test_every_hook_is_shown_with_what_came_of_it(show) -> None:
    shown = show("--verbose")
    rows = dict(
        line.split(maxsplit=1)
        for line in shown.partition("\nmine ")[2].splitlines()
        if line.strip().startswith("allin1_")
    )
    names = {name for s in SPECS for name in vars(s) if name.startswith("allin1_")}
    assert set(rows) == {*names, "allin1_of_the_future"}
    assert rows["allin1_spectrogram"] == "spec"
    assert rows["allin1_metrical_dbn"] == "nothing"
    assert rows["allin1_bridges"] == "numpy/cpu to mine/npu"
    assert rows["allin1_commands"] == "tag"
    assert rows["allin1_audio_loaders"] == "load"
    assert rows["allin1_track_finished"] == "A track has its result, or the error that ended it."
    assert "no such hook" in rows["allin1_of_the_future"]
    for name, hook in (
        ("cluster", "executors"),
        ("mod", "models"),
        ("unet", "separators"),
        ("form", "exporters"),
    ):
        assert rows[f"allin1_{hook}"] == name
    assert "left out: 'text' is not a Backend." in shown
    assert "left out: Command bench: allin1 has a command of this name." in shown


def test_json_has_the_same(show) -> None:
    hooks = {
        one["hook"]: one for one in json.loads(show("--json"))["hooks"] if one["plugin"] == "mine"
    }
    assert {one["status"] for one in hooks.values()} == {"offers", "nothing", "called", "ignored"}
    assert hooks["allin1_nn"]["text"] == "net"
    assert hooks["allin1_spectrogram"]["problems"] == ["'text' is not a Backend."]


def test_the_short_table_names_commands_too(show) -> None:
    assert "commands: tag" in show()
