"""A backend that modifies its input does not affect anything else."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest

from allin1_core.contracts.arrays import move_arrays
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.parity import close
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.contracts.speed import Speed
from allin1_core.io.mix import MixFile
from allin1_core.reference import metrical_prep, network, spectrogram
from allin1_core.runtime import plan, steps, streaming
from allin1_core.testing.conformance import measure
from allin1_core.testing.signals import song_logits

MODULES = {"spectrogram": spectrogram, "nn": network, "metrical_prep": metrical_prep}
#: A library whose arrays are those of NumPy, in the same memory.
SHARED = Space("shared", "npu")


class Shared:
    device = "npu"

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype


def share(array, device):
    return Shared(array)


def unshare(array, device):
    return array.values


def destroying(module):
    """The reference, which first overwrites its input with zeros."""

    def create(setup):
        call = module.create(setup)

        def run(data, task):
            for name in data.ARRAYS:
                if getattr(data, name) is not None:
                    getattr(data, name)[...] = 0
            return call(data, task)

        return run

    return create


@pytest.mark.parametrize("stage", ["spectrogram", "nn", "metrical_prep"])
def test_a_backend_that_overwrites_its_input_is_replaced_and_the_next_has_it_whole(
    make_session, backend_plugin, stems, stage
):
    with make_session() as session:
        wanted = session.run(stems).products
    bad = backend_plugin(stage, bad=destroying(MODULES[stage]))
    with make_session(plugins={"bad": bad}) as session:
        run = session.run(stems)
    (told,) = run.fallbacks
    assert f"{stage}=bad of plugin bad failed and was replaced: ValueError: " in told
    assert "read-only" in told
    assert measure(wanted.metre, run.products.metre) == 0
    assert run.products.sections == wanted.sections


def test_what_goes_block_by_block_cannot_be_overwritten_either(
    make_session, backend_plugin, separator, stems, write_song, monkeypatch
):
    monkeypatch.setattr(plan, "LONG_STEMS_S", 1.0)
    monkeypatch.setattr(steps, "BLOCK_FRAMES", 200)
    monkeypatch.setattr(plan, "LONG_SONG_FRAMES", 200)
    monkeypatch.setattr(streaming, "STREAMED_FROM_S", 1.0)

    class Destroying(separator):
        def stream(self, blocks, task):
            def emptied():
                for block in blocks():
                    block.samples[...] = 0
                    yield block

            return super().stream(emptied, task)

    plugins = {stage: backend_plugin(stage, bad=destroying(MODULES[stage])) for stage in MODULES}
    plugins["demix"] = backend_plugin("demix", good=separator, bad=Destroying)
    with make_session(plugins=plugins, card={"context_frames": 100}) as session:
        of_stems = session.run(stems, outputs=["activations"])
        assert [told.split()[1] for told in of_stems.fallbacks] == [f"{s}=bad" for s in MODULES]
        of_song = session.run(MixFile(write_song(seconds=3.0)), outputs=["logits"])
        assert [told.split()[1] for told in of_song.fallbacks] == ["demix=bad"]


def test_arrays_of_the_caller_stay_writable_and_as_they_were(make_session):
    logits = song_logits(300)
    before = logits.beat.copy()
    with make_session() as session:
        session.run(logits)
    assert logits.beat.flags.writeable
    np.testing.assert_array_equal(logits.beat, before)


@pytest.mark.parametrize("shares", [False, True])
def test_the_guard_sees_what_an_overwritten_input_leads_to(
    make_session, make_plugin, monkeypatch, shares
):
    """Once it compared with what the reference makes of the overwritten input, and found no difference."""

    def create(setup):
        call = metrical_prep.create(setup)

        def run(data, task):
            arrays = move_arrays(data, lambda a: a.values) if shares else data
            arrays.beat.flags.writeable = True
            arrays.beat[...] = 0
            output = call(arrays, task)
            return move_arrays(output, Shared) if shares else output

        return run

    module = ModuleType("backend_that_overwrites")
    module.create, module.share, module.unshare = create, share, unshare
    monkeypatch.setitem(sys.modules, module.__name__, module)
    space = {"consumes": SHARED, "produces": SHARED} if shares else {}
    speed = (Speed("", 0.0, 1e-9, "a test"),)
    target = f"{module.__name__}:create"
    record = Backend("bad", "metrical_prep", target, parity=close(1e-6), speed=speed, **space)
    bridges = [
        Bridge(HOST, SHARED, f"{module.__name__}:share"),
        Bridge(SHARED, HOST, f"{module.__name__}:unshare"),
    ]
    plugin = make_plugin(allin1_metrical_prep=lambda: [record], allin1_bridges=lambda: bridges)
    logits = song_logits(300)
    before = logits.beat.copy()
    with make_session(plugins={"bad": plugin}, guard=True) as session:
        run = session.run(logits, outputs=["activations"])
    assert "broke its promise" in run.fallbacks[0]
    np.testing.assert_array_equal(logits.beat, before)
