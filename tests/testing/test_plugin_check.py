"""'allin1 plugin check' on plugins that keep their promises; those that break them are in tests/plugins/test_ways_to_break.py."""

from __future__ import annotations

import json

import pytest

from allin1_core.cli.main import run
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.speed import Speed
from allin1_core.testing.plugin_check import _judge_speed, check_plugin

HOOKS = """
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.speed import Speed
from allin1_core.markers import hookimpl

@hookimpl
def allin1_metrical_prep():
    yield Backend("mine", "metrical_prep", "allin1_core.reference.metrical_prep:create", "x", SPEED)
"""


def verdicts(write_modules, speed: str = "") -> dict[str, tuple[str, str]]:
    package = write_modules(hooks=HOOKS.replace("SPEED", speed))
    found = check_plugin(f"{package}.hooks")
    return {
        one.promise: (one.state, one.text) for one in found if one.subject == "metrical_prep=mine"
    }


def test_a_backend_that_declares_no_speed_is_told_what_to_declare(write_modules):
    state, text = verdicts(write_modules)["its speed is as declared"]
    assert state == "not checked"
    assert 'declare Speed("cpu", ' in text
    assert text.endswith('"machine, date")')


def test_what_is_broken_is_not_timed(write_modules):
    found = verdicts(write_modules, 'speed=(Speed("cpu", 0.0, 1.0, ""),)')
    assert found["its record is well formed"][0] == "broken"
    state, text = found["its speed is as declared"]
    assert (state, text) == ("not checked", "it is measured once its other promises are kept")


@pytest.mark.parametrize(
    ("declared", "measured", "state"),
    [
        ((0.0, 0.01), (0.0, 0.01), "kept"),
        ((0.0, 0.01), (0.0, 0.09), "kept"),
        ((0.0, 0.01), (0.0, 0.11), "broken"),
        ((0.0, 0.11), (0.0, 0.01), "broken"),
        ((1.0, 0.0), (20.0, 0.0), "broken"),
        # Little of either: less than half a second in three minutes.
        ((0.0, 1e-6), (0.0, 1e-3), "kept"),
    ],
)
def test_a_speed_is_broken_where_it_is_another_by_far(declared, measured, state):
    backend = Backend("mine", "nn", "x:y", speed=(Speed("cpu", *declared, "here"),))
    assert _judge_speed("nn=mine", backend, *measured, members=None).state == state


def test_what_an_ensemble_costs_is_compared_for_the_networks_that_were_run():
    backend = Backend("mine", "nn", "x:y", speed=(Speed("cpu", 0.0, 0.8, "here", members=8),))
    assert _judge_speed("nn=mine", backend, 0.0, 0.1, members=1).state == "kept"
    assert _judge_speed("nn=mine", backend, 0.0, 1.2, members=1).state == "broken"


def test_verdicts_are_printed_as_json(monkeypatch, capsys, write_modules):
    from allin1_core.cli import plugin
    from allin1_core.testing import plugin_check

    package = write_modules(hooks=HOOKS.replace("SPEED", ""))
    monkeypatch.setattr(
        plugin_check,
        "check_installed",
        lambda name, plugins, *, taken, measure: check_plugin(f"{package}.hooks", measure=measure),
    )
    assert plugin.COMMANDS
    assert run(["plugin", "check", "mine", "--no-timing", "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    broken = [one for one in content if one["state"] == "broken"]
    assert [(one["subject"], one["promise"]) for one in broken] == [
        ("plugin", "its entry point leads to its hooks")
    ]
    assert {one["subject"] for one in content} == {"plugin", "metrical_prep=mine"}
