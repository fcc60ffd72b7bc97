"""A run goes the way that ``explain`` tells, over the bridges that its route was priced with."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import pytest

from allin1_core.calibration.store import Calibration, save_calibration
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.space import HOST, Bridge
from allin1_core.contracts.speed import Speed
from allin1_core.measuring.bridges import measure_bridges
from allin1_core.reference import metrical_prep
from allin1_core.testing import foreign
from allin1_core.testing.foreign import FOREIGN, on_foreign
from allin1_core.testing.signals import song_logits


@pytest.fixture
def plugins(make_plugin, monkeypatch):
    """A backend on a device to which two ways lead, and the names of the ways that were gone."""
    module = ModuleType("two_ways")
    module.create = lambda setup: on_foreign(metrical_prep.create(setup))

    def way(name):
        def move(array, device):
            gone.append(name)
            return foreign.upload(array, device)

        return move

    gone = []
    module.first, module.second = way("first"), way("second")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    backend = Backend(
        "mine",
        "metrical_prep",
        "two_ways:create",
        consumes=FOREIGN,
        produces=FOREIGN,
        speed=(Speed("", 0.0, 1e-9, "a test"),),
    )
    # By their author's numbers the first way is the faster one.
    bridges = [
        Bridge(HOST, FOREIGN, "two_ways:first", bytes_per_second=1e12),
        Bridge(HOST, FOREIGN, "two_ways:second", bytes_per_second=1e9),
        foreign.BRIDGES[1],
    ]
    plugin = make_plugin(allin1_metrical_prep=lambda: [backend], allin1_bridges=lambda: bridges)
    return {"mine": plugin}, gone


def test_arrays_go_over_the_bridges_that_were_measured_to_be_fast(
    make_session, plugins, monkeypatch, tmp_path
):
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "models"))
    plugins, gone = plugins
    logits, wanted = song_logits(300), {"outputs": ["activations"]}
    with make_session(plugins=plugins) as session:
        session.run(logits, **wanted)
        assert set(gone) == {"first"}
        measured = [row.measurement for row in measure_bridges(session.engine)]
    # Here the first one is slow.
    seconds_per_byte = {"two_ways:first": 1e-3, "two_ways:second": 1e-12}
    save_calibration(
        Calibration(
            bridges=tuple(
                replace(
                    one, latency_s=0.0, seconds_per_byte=seconds_per_byte.get(one.target, 1e-12)
                )
                for one in measured
            )
        )
    )
    gone.clear()
    with make_session(plugins=plugins) as session:
        (step,) = session.explain(logits, **wanted).chosen.steps
        assert [bridge.target for bridge in step.bridges] == ["two_ways:second"]
        session.run(logits, **wanted)
    assert set(gone) == {"second"}
