"""Bridges are measured, stored with their conditions, and priced as measured."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import pytest

from allin1_core.calibration.store import Calibration, load_calibration, save_calibration
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.speed import Speed
from allin1_core.contracts.verdict import Ready, Unavailable
from allin1_core.measuring.bridges import measure_bridges
from allin1_core.testing.foreign import BRIDGES, FOREIGN

STAGE = "metrical_prep"


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "cache" / "models"))


@pytest.fixture
def plugin(make_plugin, monkeypatch):
    """A plugin whose one backend, ``mine``, lies behind these bridges."""

    def make(verdict=None, bridges=BRIDGES):
        module = ModuleType("device_of_a_test")
        module.probe = lambda: verdict or Ready("npu:0", "a device")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        record = Backend(
            "mine",
            STAGE,
            "nowhere:create",
            consumes=FOREIGN,
            produces=FOREIGN,
            probe="device_of_a_test:probe",
            speed=(Speed("", 0.0, 1e-9, "a guess"),),
        )
        hooks = {f"allin1_{STAGE}": lambda: [record], "allin1_bridges": lambda: bridges}
        return {"me": make_plugin(**hooks)}

    return make


def choose(session):
    return session.decide(session.request((STAGE,), 180.0))


def test_every_bridge_that_can_be_used_is_measured(make_session, plugin):
    rows = list(measure_bridges(make_session(plugins=plugin()).engine))
    assert [row.bridge for row in rows] == list(BRIDGES)
    for row in rows:
        assert row.trouble == ""
        assert row.measurement.latency_s >= 0
        assert row.measurement.seconds_per_byte >= 0
        assert "npu:0" in row.measurement.conditions["device"]
        assert "a device" in row.measurement.conditions["detail"]


def test_bridges_to_devices_that_are_not_here_or_not_wanted_are_left_out(make_session, plugin):
    absent = plugin(verdict=Unavailable("No device was found."))
    assert list(measure_bridges(make_session(plugins=absent).engine)) == []
    assert list(measure_bridges(make_session(plugins=plugin(), device="cpu").engine)) == []


def test_a_bridge_that_fails_is_reported_and_the_others_are_measured(make_session, plugin):
    up, down = BRIDGES
    broken = replace(up, target="no_such_module:up")
    rows = list(measure_bridges(make_session(plugins=plugin(bridges=(up, down, broken))).engine))
    assert [row.trouble == "" for row in rows] == [True, True, False]
    assert "no_such_module" in rows[2].trouble
    assert rows[2].measurement is None


def test_a_measured_bridge_turns_the_route_while_its_conditions_hold(make_session, plugin):
    session = make_session(plugins=plugin())
    before = choose(session)
    assert str(before.chosen) == f"{STAGE}=mine"
    assert set(before.bridges.values()) == {"prior"}
    up, down = (row.measurement for row in measure_bridges(session.engine))
    save_calibration(Calibration(bridges=(replace(up, seconds_per_byte=1e-3), down)))
    after = choose(make_session(plugins=plugin()))
    assert str(after.chosen) == f"{STAGE}=reference"
    (bridge, said), _ = after.bridges.items()
    assert (bridge.source, bridge.destination) == (BRIDGES[0].source, BRIDGES[0].destination)
    assert bridge.bytes_per_second == pytest.approx(1e3)
    assert said == f"measured here on {up.date}"
    assert said in str(after)
    assert after.to_json()["bridges"][0]["seconds_per_byte"] == pytest.approx(1e-3)
    # Another device is another condition.
    other = choose(make_session(plugins=plugin(verdict=Ready("npu:0", "another device"))))
    assert str(other.chosen) == f"{STAGE}=mine"
    assert set(other.bridges.values()) == {"prior"}


def test_a_move_without_a_copy_is_kept_and_read_again(make_session, plugin):
    session = make_session(plugins=plugin())
    up, down = (row.measurement for row in measure_bridges(session.engine))
    free = replace(up, seconds_per_byte=0.0)
    save_calibration(Calibration(bridges=(free, down)))
    assert load_calibration().bridges == (free, down)
    (bridge, _), _ = choose(make_session(plugins=plugin())).bridges.items()
    assert bridge.bytes_per_second == float("inf")


def test_no_probe_runs_for_the_price_of_a_bridge_that_nothing_chosen_uses(
    make_session, plugin, monkeypatch
):
    up, down = (row.measurement for row in measure_bridges(make_session(plugins=plugin()).engine))
    save_calibration(Calibration(bridges=(up, down)))
    plugins = plugin()
    sys.modules["device_of_a_test"].probe = lambda: pytest.fail("the probe ran")
    session = make_session(plugins=plugins, backends={STAGE: "reference"})
    assert str(choose(session).chosen) == f"{STAGE}=reference"
