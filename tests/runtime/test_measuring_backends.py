"""Backends are measured on request, compared with the reference, and chosen by the measurement."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from allin1_core.calibration.store import (
    Calibration,
    calibration_path,
    load_calibration,
    save_calibration,
)
from allin1_core.contracts.arrays import move_arrays
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.logits import Activations
from allin1_core.contracts.parity import close
from allin1_core.contracts.speed import Speed
from allin1_core.contracts.stages import GIVES, STAGES, TAKES, Setup, Task
from allin1_core.errors import InputError
from allin1_core.measuring.backends import generate, measure_backends
from allin1_core.reference import functional, metrical_prep
from allin1_core.runtime.checking import cut
from allin1_core.testing.foreign import BRIDGES, FOREIGN, on_foreign

STAGE = "metrical_prep"
LENGTHS = (0.5, 1.0)


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def plugin(make_plugin, monkeypatch):
    """Make a plugin of backends of one stage, from their factories by name."""

    def make(stage=STAGE, foreign=False, **factories):
        module = ModuleType("backends_to_measure")
        space = {"consumes": FOREIGN, "produces": FOREIGN} if foreign else {}
        records = []
        for name, factory in factories.items():
            setattr(module, name, factory)
            records.append(
                Backend(
                    name,
                    stage,
                    f"backends_to_measure:{name}",
                    parity=close(1e-6),
                    speed=(Speed("", 0.0, 1e-9, "a guess"),),
                    **space,
                )
            )
        monkeypatch.setitem(sys.modules, module.__name__, module)
        hooks = {f"allin1_{stage}": lambda: records, "allin1_bridges": lambda: BRIDGES}
        return make_plugin(**hooks)

    return make


def wrong(by):
    def create(setup):
        call = metrical_prep.create(setup)
        return lambda data, task: move_arrays(call(data, task), lambda a: a + np.float32(by))

    return create


def failing(setup):
    raise OSError("libkernel.so: no such file")


def rows_of(session, stage=STAGE):
    return {row.backend: row for row in measure_backends(session.engine, (stage,), LENGTHS)}


def test_every_eligible_backend_is_measured_and_checked(make_session, plugin):
    offered = plugin(good=metrical_prep.create, bad=wrong(1e-3), broken=failing)
    rows = rows_of(make_session(plugins={"mine": offered}))
    assert set(rows) == {"reference", "good", "bad", "broken"}
    for name in ("reference", "good"):
        found = rows[name].measurement
        assert found.setup_s >= 0
        assert found.rate >= 0
        assert rows[name].difference == 0
        assert rows[name].trouble == ""
    assert rows["bad"].measurement is None
    assert "breaks its promise" in rows["bad"].trouble
    assert rows["bad"].difference == pytest.approx(1e-3, rel=1e-3)
    assert rows["broken"].measurement is None
    assert "libkernel.so" in rows["broken"].trouble


def test_a_reference_that_fails_is_blamed_alone(make_session, plugin, monkeypatch):
    offered = plugin(good=metrical_prep.create)
    monkeypatch.setattr(metrical_prep, "create", failing)
    rows = rows_of(make_session(plugins={"mine": offered}))
    assert "libkernel.so" in rows["reference"].trouble
    assert rows["good"].trouble == ""
    assert rows["good"].difference is None
    assert rows["good"].measurement is not None


def test_a_saved_measurement_reverses_a_prior_and_says_when(make_session, plugin):
    plugins = {"mine": plugin(boastful=metrical_prep.create)}
    session = make_session(plugins=plugins)
    before = session.decide(session.request((STAGE,), 180.0))
    assert str(before.chosen) == f"{STAGE}=boastful"
    rows = rows_of(session)
    slow = replace(rows["boastful"].measurement, rate=1.0)
    save_calibration(Calibration((slow, rows["reference"].measurement)))
    session = make_session(plugins=plugins)
    after = session.decide(session.request((STAGE,), 180.0))
    assert str(after.chosen) == f"{STAGE}=reference"
    evidence = {c.backend.name: c.evidence for c in after.candidates[STAGE]}
    assert evidence == dict.fromkeys(evidence, f"measured here on {slow.date}")
    # Other threads are other conditions: the priors again.
    session = make_session(plugins=plugins, threads=7)
    other = session.decide(session.request((STAGE,), 180.0))
    assert str(other.chosen) == f"{STAGE}=boastful"


def test_nothing_is_measured_or_written_without_a_request(make_session, stems):
    with make_session() as session:
        session.run(stems, outputs=["logits"])
        list(measure_backends(session.engine, (STAGE,), LENGTHS))
    assert not calibration_path().exists()
    assert load_calibration() == Calibration()


def test_a_backend_on_a_device_is_measured_there(make_session, plugin):
    waits = []

    class Call:
        def __init__(self, setup):
            assert setup.device == "npu"
            self._call = on_foreign(metrical_prep.create(setup))

        def __call__(self, data, task):
            return self._call(data, task)

        def synchronize(self):
            waits.append(1)

    row = rows_of(make_session(plugins={"npu": plugin(foreign=True, there=Call)}))["there"]
    assert row.trouble == ""
    assert row.measurement.conditions["device"] == "npu"
    assert len(waits) >= 3


def test_the_network_is_measured_with_weights_that_are_here_or_random_ones(
    make_session, plugin, monkeypatch, tmp_path
):
    seen = []

    def create(setup):
        seen.append(setup.model)
        raise RuntimeError("seen")

    plugins = {"mine": plugin(stage="nn", watching=create)}
    monkeypatch.delenv("ALLIN1_WEIGHTS_DIR", raising=False)
    session = make_session(plugins=plugins)
    rows_of(session, "nn")
    assert seen[0].card.name == "random"
    rows_of(make_session(plugins=plugins, weights_dir=None), "nn")
    assert seen[1].card.name == "random-0"
    assert len(seen[1].members) == len(session.card.files) == 1


def test_what_was_named_does_not_narrow_what_is_measured(make_session, plugin):
    plugins = {"mine": plugin(good=metrical_prep.create)}
    session = make_session(plugins=plugins, backends={STAGE: "reference"})
    assert set(rows_of(session)) == {"reference", "good"}


def test_lengths_must_rise(make_session):
    with pytest.raises(InputError, match="wanted the shorter first"):
        list(measure_backends(make_session().engine, (STAGE,), (5.0, 5.0)))


@pytest.mark.parametrize("stage", STAGES)
def test_generated_inputs_fulfil_the_contract_and_can_be_cut(stage):
    data = generate(stage, 2.0)
    assert isinstance(data, TAKES[stage])
    assert data.validate().duration_s == pytest.approx(2.0)
    part = cut(data, 0.5)
    assert part.validate().duration_s == pytest.approx(0.5)
    assert cut(data, 10.0).duration_s == data.duration_s


def test_a_cut_is_the_middle():
    data = Activations(np.arange(1000, dtype=np.float32).reshape(500, 2))
    assert cut(data, 1.0).values[0].tolist() == [400, 401]
    sections = functional.create(Setup())(cut(generate("functional", 3.0), 1.0), Task())
    assert isinstance(sections, GIVES["functional"])
