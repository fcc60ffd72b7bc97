"""A run measures what its route depends on if requested, and otherwise nothing."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from allin1_core.calibration.store import Calibration, calibration_path, load_calibration
from allin1_core.contracts.arrays import move_arrays
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.parity import close
from allin1_core.contracts.speed import Speed
from allin1_core.measuring import on_demand
from allin1_core.reference import metrical_prep
from allin1_core.testing.foreign import BRIDGES, FOREIGN, on_foreign
from allin1_core.testing.signals import song_logits

STAGE = "metrical_prep"
KEYS = {(STAGE, "reference"), (STAGE, "mine")}


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "cache" / "models"))


@pytest.fixture
def plugin(make_plugin, monkeypatch):
    """A plugin with one backend of the stage, ``mine``, off by so much."""

    def make(off=0.0, foreign=False):
        def create(setup):
            call = metrical_prep.create(setup)
            if foreign:
                return on_foreign(call)
            return lambda data, task: move_arrays(call(data, task), lambda a: a + np.float32(off))

        module = ModuleType("backend_to_calibrate")
        module.create = create
        monkeypatch.setitem(sys.modules, module.__name__, module)
        space = {"consumes": FOREIGN, "produces": FOREIGN} if foreign else {}
        speed = (Speed("", 0.0, 1e-9, "a guess"),)
        record = Backend(
            "mine", STAGE, "backend_to_calibrate:create", parity=close(1e-6), speed=speed, **space
        )
        hooks = {f"allin1_{STAGE}": lambda: [record], "allin1_bridges": lambda: BRIDGES}
        return {"me": make_plugin(**hooks)}

    return make


@pytest.fixture
def measured(monkeypatch):
    """Names of the backends that are measured from now on."""
    names = []
    measure = on_demand.measure_backend

    def watch(engine, candidate, model):
        names.append((candidate.backend.stage, candidate.backend.name))
        return measure(engine, candidate, model, (0.5, 1.0))

    monkeypatch.setattr(on_demand, "measure_backend", watch)
    return names


def evidence(decision):
    return {c.backend.name: c.evidence for c in decision.candidates[STAGE]}


def prepare(session):
    return session.run(song_logits(300), outputs=["activations"]).products.activations


def test_a_run_measures_its_candidates_stores_that_and_uses_it(
    make_session, plugin, measured, caplog
):
    with caplog.at_level(logging.INFO, "allin1_core.measuring.on_demand"):
        with make_session(plugins=plugin(), calibrate=True) as session:
            prepare(session)
            assert set(measured) == KEYS
            decision = session.decide(session.request((STAGE,), 180.0))
    assert all("measured here" in said for said in evidence(decision).values())
    assert f"measuring {STAGE}=mine on cpu (" in caplog.text
    assert {(one.stage, one.backend) for one in load_calibration().backends} == KEYS
    assert len(measured) == 2
    # It holds for the next session, asked or not.
    for asked in (True, False):
        session = make_session(plugins=plugin(), calibrate=asked)
        decision = session.decide(session.request((STAGE,), 180.0))
        assert all("measured here" in said for said in evidence(decision).values())
    assert len(measured) == 2


def test_nothing_is_measured_without_a_request(make_session, plugin, measured):
    with make_session(plugins=plugin()) as session:
        prepare(session)
        session.explain(song_logits(300), outputs=["activations"])
    assert measured == []
    assert not calibration_path().exists()


def test_the_configuration_file_may_request_it_and_an_argument_takes_precedence(
    make_session, plugin, measured, monkeypatch, tmp_path
):
    (tmp_path / "config.toml").write_text("calibrate = true\n")
    plugins = plugin()
    monkeypatch.setattr(
        "allin1_core.runtime.settings.config_path", lambda: tmp_path / "config.toml"
    )
    prepare(make_session(plugins=plugins, calibrate=False))
    assert measured == []
    prepare(make_session(plugins=plugins))
    assert set(measured) == KEYS


def test_what_is_alone_in_its_stage_is_not_measured(make_session, plugin, measured):
    prepare(make_session(calibrate=True))
    prepare(make_session(plugins=plugin(), calibrate=True, backends={STAGE: "mine"}))
    assert measured == []
    assert not calibration_path().exists()


def test_a_backend_that_breaks_its_promise_is_left_out_and_reported_once(
    make_session, plugin, measured, caplog
):
    with make_session(plugins=plugin(off=1e-3), calibrate=True) as session:
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                prepare(session)
        decision = session.decide(session.request((STAGE,), 180.0))
    assert str(decision.chosen) == f"{STAGE}=reference"
    assert caplog.text.count(f"{STAGE}=mine is left out of this run. It breaks its promise") == 1
    assert {one.backend for one in load_calibration().backends} == {"reference"}


def test_what_cannot_be_kept_holds_for_the_run(
    make_session, plugin, measured, monkeypatch, tmp_path, caplog
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "file" / "models"))
    with make_session(plugins=plugin(), calibrate=True) as session:
        prepare(session)
        decision = session.decide(session.request((STAGE,), 180.0))
    assert "The measurements can only be used in this run" in caplog.text
    assert all("measured here" in said for said in evidence(decision).values())


def test_bridges_between_the_candidates_are_measured_too(make_session, plugin, measured):
    with make_session(plugins=plugin(foreign=True), calibrate=True) as session:
        prepare(session)
        told = session.decide(session.request((STAGE,), 180.0)).bridges
    assert len(told) == len(BRIDGES)
    assert all("measured here" in said for said in told.values())
    ways = {(one.source, one.destination) for one in load_calibration().bridges}
    assert ways == {(str(b.source), str(b.destination)) for b in BRIDGES}
    # What is valid is not measured again.
    before = load_calibration()
    prepare(make_session(plugins=plugin(foreign=True), calibrate=True))
    assert load_calibration() == before
    assert len(measured) == 2


def test_other_conditions_are_measured_again(make_session, plugin, measured):
    prepare(make_session(plugins=plugin(), calibrate=True))
    prepare(make_session(plugins=plugin(), calibrate=True, threads=1))
    assert len(measured) == 4
    assert len(load_calibration().backends) == 4


def test_a_newer_calibration_is_added_to_what_was_read(make_session, plugin, measured):
    session = make_session(plugins=plugin(), calibrate=True)
    prepare(session)
    (one, *_) = session.engine.prices.calibration.backends
    slower = replace(one, rate=one.rate + 1)
    session.engine.prices.add(Calibration((slower,)))
    assert slower in session.engine.prices.calibration.backends
    assert one not in session.engine.prices.calibration.backends
    assert len(session.engine.prices.calibration.backends) == 2
