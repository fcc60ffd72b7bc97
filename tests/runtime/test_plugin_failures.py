"""Errors of a plugin during an analysis count as failures of that plugin."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import replace
from types import ModuleType

import pytest

from allin1_core.cli import analyze
from allin1_core.cli.main import run as run_command
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.space import HOST, Bridge
from allin1_core.contracts.speed import Speed
from allin1_core.errors import BackendError
from allin1_core.measuring.backends import measure_backends
from allin1_core.reference import metrical_prep
from allin1_core.runtime.track import make_tracks
from allin1_core.testing.foreign import FOREIGN
from allin1_core.testing.models import model_plugin
from allin1_core.testing.signals import song_logits

STAGE = "metrical_prep"


def leave(*_, **options):
    sys.exit(3)


def leaving_when_called(setup):
    return leave


def of_nothing(setup):
    return None


FACTORIES = {
    "in the factory": (leave, "SystemExit: 3"),
    "in the call": (leaving_when_called, "SystemExit: 3"),
    "nothing callable": (
        of_nothing,
        "Its factory a_bad_backend:create returned None; wanted a function.",
    ),
    "no function": (5, "Its factory a_bad_backend:create is 5; wanted a function."),
}


@pytest.fixture(params=list(FACTORIES))
def bad(request, make_plugin, monkeypatch):
    """A plugin whose backend fails in one way, and words of its failure."""
    factory, words = FACTORIES[request.param]
    module = ModuleType("a_bad_backend")
    module.create = factory
    monkeypatch.setitem(sys.modules, module.__name__, module)
    record = Backend(
        "bad", STAGE, "a_bad_backend:create", speed=(Speed("cpu", 0.0, 1e-9, "a test"),)
    )
    return make_plugin(**{f"allin1_{STAGE}": lambda: [record]}), words


def test_another_backend_takes_over(make_session, bad):
    plugin, words = bad
    with make_session(plugins={"bad": plugin}) as session:
        run = session.run(song_logits(200), outputs=["activations"])
    assert [record.backend for record in run.records] == ["reference"]
    assert run.fallbacks == [f"Backend {STAGE}=bad of plugin bad failed and was replaced: {words}"]


def test_one_that_was_named_is_an_error_with_its_words(make_session, bad):
    plugin, words = bad
    with make_session(plugins={"bad": plugin}, backends={STAGE: "bad"}) as session:
        with pytest.raises(BackendError) as caught:
            session.run(song_logits(200), outputs=["activations"])
    assert words in str(caught.value)


def test_measuring_tells_of_it_and_goes_on(make_session, bad):
    plugin, words = bad
    with make_session(plugins={"bad": plugin}) as session:
        rows = {r.backend: r for r in measure_backends(session.engine, (STAGE,), (0.5, 1.0))}
    assert words in rows["bad"].trouble
    assert rows["reference"].trouble == ""


def test_a_bridge_that_leaves_the_program_is_replaced_with_its_backend(
    make_session, make_plugin, monkeypatch
):
    module = ModuleType("a_bad_bridge")
    module.move, module.create = leave, metrical_prep.create
    monkeypatch.setitem(sys.modules, module.__name__, module)
    record = Backend(
        "bad",
        STAGE,
        "a_bad_bridge:create",
        consumes=FOREIGN,
        produces=FOREIGN,
        speed=(Speed("", 0.0, 1e-9, "a test"),),
    )
    ways = [Bridge(HOST, FOREIGN, "a_bad_bridge:move"), Bridge(FOREIGN, HOST, "a_bad_bridge:move")]
    hooks = {f"allin1_{STAGE}": lambda: [record], "allin1_bridges": lambda: ways}
    with make_session(plugins={"bad": make_plugin(**hooks)}) as session:
        run = session.run(song_logits(200), outputs=["activations"])
    assert "SystemExit: 3" in run.fallbacks[0]


def test_an_observer_that_leaves_the_program_costs_a_warning(
    make_session, make_plugin, stems, caplog
):
    observer = make_plugin(allin1_stage_finished=leave, allin1_track_finished=leave)
    (track,) = make_tracks([], [stems.source])
    with make_session(plugins={"leaving": observer}) as session:
        with caplog.at_level(logging.WARNING):
            result = session.analyze(track)
    assert result.beats
    told = [message for message in caplog.messages if "leaving" in message]
    assert len(told) == len(result.provenance.stages) + 1
    assert all("SystemExit: 3" in message for message in told)


def test_a_post_processed_result_is_what_observers_and_files_get(make_session, make_plugin, stems):
    seen = []

    def slow(track, result):
        return replace(result, bpm=61)

    def observe(track, result, error):
        seen.append(result)

    plugins = {
        "slow": make_plugin(allin1_postprocess_result=slow),
        "observer": make_plugin(allin1_track_finished=observe),
    }
    (track,) = make_tracks([], [stems.source])
    with make_session(plugins=plugins) as session:
        result = session.analyze(track)
    assert result.bpm == 61
    assert [one.bpm for one in seen] == [61]
    assert result.provenance.postprocessors == ("slow",)


def test_the_command_line_writes_the_post_processed_result(
    capsys, monkeypatch, isolated_plugins, make_plugin, model_folder, stems, tmp_path
):
    folder, card = model_folder

    def process(track, result):
        return replace(result, bpm=61)

    plugins = isolated_plugins(
        model=model_plugin(card),
        slow=make_plugin(allin1_postprocess_result=process),
        leaving=make_plugin(allin1_postprocess_result=leave),
    )
    monkeypatch.setattr(analyze, "load_plugins", lambda ctx: plugins)
    arguments = ["-m", card.name, "--weights-dir", str(folder), "--stems-dir", str(stems.source)]
    assert run_command(["analyze", *arguments, "-o", str(tmp_path / "out")]) == 0
    assert (
        "The change by plugin leaving was not applied: it raised SystemExit: 3"
        in capsys.readouterr().err
    )
    (path,) = (tmp_path / "out").glob("*.json")
    written = json.loads(path.read_text())
    assert written["bpm"] == 61
    assert written["provenance"]["postprocessors"] == ["slow"]
    assert "SystemExit: 3" in written["warnings"][-1]
