"""The guard detects a backend that is wrong on this machine, and the run continues without it."""

from __future__ import annotations

import json
import logging
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from allin1_core.contracts.arrays import move_arrays
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.parity import IDENTICAL, LOSSY, close
from allin1_core.contracts.speed import Speed
from allin1_core.errors import BackendError
from allin1_core.reference import metrical_prep, network, spectrogram
from allin1_core.runtime import guard, plan
from allin1_core.testing.conformance import measure
from allin1_core.testing.foreign import BRIDGES, FOREIGN, on_foreign
from allin1_core.testing.signals import song_logits


@pytest.fixture
def plugin(make_plugin, monkeypatch):
    """A backend that is the reference, and `by` more in every value."""

    def make(stage, module, by, *, parity=IDENTICAL, foreign=False, name="mine"):
        def create(setup):
            call = module.create(setup)

            def run(data, task):
                calls.append(data)
                return move_arrays(call(data, task), lambda a: a + np.float32(by))

            return on_foreign(run) if foreign else run

        calls = []
        target = ModuleType(f"guarded_{stage}")
        target.create = create
        monkeypatch.setitem(sys.modules, target.__name__, target)
        space = {"consumes": FOREIGN, "produces": FOREIGN} if foreign else {}
        record = Backend(
            name,
            stage,
            f"{target.__name__}:create",
            parity=parity,
            speed=(Speed("", 0.0, 1e-9, "a test"),),
            **space,
        )
        hooks = {f"allin1_{stage}": lambda: [record], "allin1_bridges": lambda: BRIDGES}
        return make_plugin(**hooks), calls

    return make


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize(("stage", "module"), [("spectrogram", spectrogram), ("nn", network)])
def test_a_backend_that_is_wrong_by_a_thousandth_is_replaced_and_reported(
    make_session, plugin, stems, caplog, stage, module, foreign
):
    bad, _ = plugin(stage, module, 1e-3, parity=close(1e-5), foreign=foreign)
    with make_session() as session:
        wanted = session.run(stems)
    with make_session(plugins={"bad": bad}, guard=True) as session:
        with caplog.at_level(logging.WARNING):
            run = session.run(stems, track="song")
    used = {record.stages[0]: record.backend for record in run.records}
    assert used[stage] == "reference"
    assert measure(wanted.products.metre, run.products.metre) == 0
    (told,) = run.fallbacks
    assert (
        f"Backend {stage}=mine of plugin bad failed and was replaced: It broke its promise" in told
    )
    assert "by 0.001" in told
    assert "promised: within 1e-05" in told
    assert told in caplog.text
    # Without the guard nobody would have known.
    with make_session(plugins={"bad": bad}) as session:
        assert session.run(stems).fallbacks == []


def test_a_backend_that_was_named_and_breaks_its_promise_is_an_error(make_session, plugin, stems):
    bad, _ = plugin("nn", network, 1e-3)
    with make_session(plugins={"bad": bad}, guard=True, backends={"nn": "mine"}) as session:
        with pytest.raises(BackendError, match=r"nn=mine, failed: It broke its promise"):
            session.run(stems)


def test_the_error_says_which_variable_had_named_it(make_session, plugin, stems, monkeypatch):
    bad, _ = plugin("nn", network, 1e-3)
    # The fixture of isolated plugins removes the variable; the session reads it after that.
    monkeypatch.setenv("ALLIN1_BACKEND", "nn=bad")
    with make_session(plugins={"bad": bad}, guard=True) as session:
        with pytest.raises(BackendError, match=r"nn=mine \(set by ALLIN1_BACKEND\), failed"):
            session.run(stems)


def test_a_backend_that_keeps_its_promise_is_checked_once(make_session, plugin, stems):
    good, calls = plugin("nn", network, 1e-6, parity=close(1e-5))
    with make_session(plugins={"good": good}, guard=True) as session:
        first = session.run(stems)
        assert len(calls) == 2
        session.run(stems)
        assert len(calls) == 3
    assert first.fallbacks == []
    assert {r.backend for r in first.records if r.stages == ("nn",)} == {"mine"}


@pytest.mark.parametrize("parity", [LOSSY, None])
def test_what_promises_nothing_is_not_checked(make_session, plugin, stems, parity):
    loose, calls = plugin("nn", network, 0.5, parity=parity)
    with make_session(plugins={"loose": loose}, guard=True, parity="lossy") as session:
        assert session.run(stems).fallbacks == []
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("stage", "long_s", "start"),
    # Files that are not read whole are read up to the second that the middle is in.
    [("spectrogram", 5.0, 3 * 44_100), ("spectrogram", 10.0, 250 * 441), ("nn", 5.0, 250)],
)
def test_the_middle_of_a_long_track_is_examined(
    make_session, plugin, stems, monkeypatch, stage, long_s, start
):
    monkeypatch.setattr(guard, "GUARD_S", 1.0)
    monkeypatch.setattr(plan, "LONG_STEMS_S", long_s)
    good, calls = plugin(stage, {"spectrogram": spectrogram, "nn": network}[stage], 0.0)
    with make_session(plugins={"good": good}, guard=True) as session:
        session.run(stems, outputs=["logits"])
    slice_ = calls[0]
    assert slice_.duration_s == pytest.approx(1.0, abs=0.05)
    array, all_of_it = (getattr(data, data.ARRAYS[0]) for data in calls)
    if stage == "nn":
        np.testing.assert_array_equal(array, all_of_it[:, start : start + 100])
    else:
        np.testing.assert_array_equal(array, all_of_it[..., start : start + 44_100])


def test_timings_are_appended_a_line_a_stage(make_session, stems, tmp_path):
    path = tmp_path / "new" / "timings.jsonl"
    with make_session(timings_path=path) as session:
        run = session.run(stems, track="song")
        session.run(song_logits(500), outputs=["sections"], track="other")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["stage"] for line in lines] == [
        *("spectrogram", "nn", "metrical_prep", "functional", "metrical_dbn", "functional")
    ]
    for line, record in zip(lines, run.records, strict=False):
        assert list(line) == ["stage", "start", "end", "duration", "device", "model", "track"]
        assert line["duration"] == record.seconds
        assert line["end"] - line["start"] == pytest.approx(record.seconds, abs=1e-4)
        assert (line["device"], line["model"], line["track"]) == ("cpu", "random", "song")
    starts = [line["start"] for line in lines]
    assert starts == sorted(starts)
    assert lines[-1]["track"] == "other"


def test_moves_between_spaces_stand_in_the_record(make_session, plugin, stems):
    there, _ = plugin("nn", network, 0.0, foreign=True)
    with make_session(plugins={"npu": there}) as session:
        run = session.run(stems)
    copies = {record.stages[0]: record.copies for record in run.records}
    assert copies["nn"] == ("numpy/cpu to allin1_core/npu",)
    assert copies["metrical_prep"] == ("allin1_core/npu to numpy/cpu",)
    assert copies["spectrogram"] == ()


def test_a_reference_that_fails_is_not_a_fault_of_the_backend(
    make_session, plugin, stems, caplog, monkeypatch
):
    good, _ = plugin("metrical_prep", SimpleNamespace(create=metrical_prep.create), 0.0)

    def broken(setup):
        raise MemoryError("no room for the reference")

    monkeypatch.setattr(metrical_prep, "create", broken)
    with make_session(plugins={"good": good}, guard=True) as session:
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                run = session.run(stems)
    assert run.fallbacks == []
    assert {r.backend for r in run.records if r.stages == ("metrical_prep",)} == {"mine"}
    assert caplog.text.count("could not check backend metrical_prep=mine: the reference of") == 1
    assert "MemoryError: no room for the reference" in caplog.text
