"""A run takes the route that ``explain`` states, over the bridges that it was priced with."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import pytest

from allin1_core.calibration.store import Calibration, save_calibration
from allin1_core.contracts.arrays import move_arrays
from allin1_core.contracts.audio import Stems
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.space import HOST, Bridge
from allin1_core.contracts.speed import Speed
from allin1_core.io.mix import MixFile
from allin1_core.measuring.bridges import measure_bridges
from allin1_core.reference import metrical_prep, network, spectrogram
from allin1_core.runtime import plan, steps, streaming
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


def moves(records):
    return [record.copies for record in records]


def planned(decision):
    return [
        tuple(f"{bridge.source} to {bridge.destination}" for bridge in step.bridges)
        for step in decision.chosen.steps
    ]


@pytest.fixture
def on_device(backend_plugin, separator):
    """Separation, spectrogram and network on a device."""

    class Separator(separator):
        def __call__(self, mix, task):
            return on_foreign(super().__call__)(mix, task)

        def stream(self, blocks, task):
            mixes = (move_arrays(mix, lambda a: foreign.download(a, "cpu")) for mix in blocks())
            for mix in mixes:
                yield move_arrays(
                    Stems(self.SHARES * mix.samples), lambda a: foreign.upload(a, "npu")
                )
                task.progress(1.0)

    def elsewhere(module):
        return lambda setup: on_foreign(module.create(setup))

    return {
        "one": backend_plugin("demix", foreign=True, there=Separator),
        "two": backend_plugin("spectrogram", foreign=True, there=elsewhere(spectrogram)),
        "three": backend_plugin("nn", foreign=True, there=elsewhere(network)),
    }


@pytest.mark.parametrize("is_long", [False, True])
@pytest.mark.parametrize("of_stems", [False, True])
def test_explain_tells_the_moves_of_a_song_whether_it_is_long_or_not(
    make_session, on_device, write_song, stems, monkeypatch, is_long, of_stems
):
    if is_long:
        monkeypatch.setattr(streaming, "STREAMED_FROM_S", 3.0)
        monkeypatch.setattr(plan, "LONG_STEMS_S", 3.0)
        monkeypatch.setattr(plan, "LONG_SONG_FRAMES", 300)
        monkeypatch.setattr(steps, "NETWORK_BLOCK_FRAMES", 200)
    start = stems if of_stems else MixFile(write_song(seconds=5.0))
    names = dict.fromkeys(
        ("spectrogram", "nn") if of_stems else ("demix", "spectrogram", "nn"), "there"
    )
    card = {"context_frames": 50}
    with make_session(plugins=on_device, card=card, backends=names) as session:
        decision = session.explain(start, outputs=["activations"])
        run = session.run(start, outputs=["activations"])
    assert moves(run.records) == planned(decision)
    there, back = "numpy/cpu to allin1_core/npu", "allin1_core/npu to numpy/cpu"
    assert moves(run.records)[-2:] == [(back, there) if is_long else (), (back,)]
