"""Outputs of backends have the length of their input and the declared space; otherwise a fallback is used."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from allin1_core.contracts.arrays import length_of, move_arrays, part_of
from allin1_core.contracts.logits import Activations
from allin1_core.contracts.metre import Metre
from allin1_core.contracts.sections import Sections, Segment
from allin1_core.io.mix import MixFile
from allin1_core.reference import functional, metrical_dbn, metrical_prep, network, spectrogram
from allin1_core.runtime import plan, steps, streaming
from allin1_core.testing.conformance import measure
from allin1_core.testing.foreign import ForeignArray, on_foreign

MODULES = {
    "spectrogram": spectrogram,
    "nn": network,
    "metrical_prep": metrical_prep,
    "metrical_dbn": metrical_dbn,
    "functional": functional,
}


def changing(module, change):
    def create(setup):
        call = module.create(setup)
        return lambda data, task: change(call(data, task))

    return create


def half(record):
    return part_of(record, 0, length_of(record) // 2)


def late(metre):
    return Metre(metre.beat_times_s + 100.0, metre.beat_positions)


def half_of_the_sections(sections):
    return Sections((Segment(0.0, sections.segments[-1].end / 2, "verse"),))


@pytest.fixture
def wanted(make_session, stems):
    with make_session() as session:
        return session.run(stems).products


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize("stage", ["spectrogram", "nn", "metrical_prep"])
def test_half_as_many_frames_are_a_broken_contract(
    make_session, backend_plugin, stems, wanted, stage, foreign
):
    create = changing(MODULES[stage], half)
    factory = (lambda setup: on_foreign(create(setup))) if foreign else create
    plugin = backend_plugin(stage, foreign=foreign, bad=factory)
    with make_session(plugins={"bad": plugin}) as session:
        run = session.run(stems)
    (told,) = run.fallbacks
    assert "It returned 300 frames; its input of 6.000 s has 600." in told
    assert measure(wanted.metre, run.products.metre) == 0
    assert run.products.sections == wanted.sections


@pytest.mark.parametrize(
    ("stage", "change", "told"),
    [
        ("metrical_dbn", late, "Its last beat is at 10"),
        ("functional", half_of_the_sections, "Its sections end at 3.000 s; the input ends at 6.0"),
    ],
)
def test_events_end_with_the_song(make_session, backend_plugin, stems, wanted, stage, change, told):
    plugin = backend_plugin(stage, bad=changing(MODULES[stage], change))
    with make_session(plugins={"bad": plugin}) as session:
        run = session.run(stems)
    assert told in run.fallbacks[0]
    assert run.products.sections == wanted.sections


def with_row(*row):
    def change(activations):
        values = np.array(activations.values)
        values[123] = row
        return Activations(values)

    return change


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize(
    ("row", "told"),
    [
        ((0.0, np.nan), r"activations.values holds nan at index \[123, 1\]\."),
        ((-np.inf, 0.0), r"activations.values holds -inf at index \[123, 0\]\."),
        ((-0.5, 0.0), r"activations.values holds -0\.5; wanted 0 to 1\."),
        ((0.0, 1.5), r"activations.values holds 1\.5; wanted 0 to 1\."),
        ((0.6, 0.6), r"activations.values sums to 1\.2 at frame 123; wanted at most 1\."),
    ],
)
def test_activations_that_are_not_probabilities_are_a_broken_contract(
    make_session, backend_plugin, stems, wanted, foreign, row, told
):
    create = changing(metrical_prep, with_row(*row))
    factory = (lambda setup: on_foreign(create(setup))) if foreign else create
    plugin = backend_plugin("metrical_prep", foreign=foreign, bad=factory)
    with make_session(plugins={"bad": plugin}) as session:
        run = session.run(stems)
    (fallback,) = run.fallbacks
    assert re.search(told, fallback)
    assert measure(wanted.metre, run.products.metre) == 0


def test_activations_may_be_off_by_the_rounding_of_half_precision(
    make_session, backend_plugin, stems
):
    change = with_row(np.float32(0.5003), np.float32(0.5003))
    plugin = backend_plugin("metrical_prep", near=changing(metrical_prep, change))
    with make_session(plugins={"near": plugin}) as session:
        run = session.run(stems)
    assert run.fallbacks == []
    assert "near" in [record.backend for record in run.records]


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 1.2])
def test_activations_that_the_user_starts_from_are_the_decoders_to_judge(make_session, value):
    values = np.full((600, 2), 0.01, np.float32)
    values[123] = value
    with make_session() as session:
        run = session.run(Activations(values), outputs=["beats"])
    assert run.fallbacks == []
    assert run.products.metre is not None


@pytest.mark.parametrize("name", ["boundary_strengths", "label_probabilities"])
def test_probabilities_of_sections_that_are_not_numbers_are_a_broken_contract(
    make_session, backend_plugin, stems, wanted, name
):
    def change(sections):
        old = getattr(sections, name)
        row = float("nan") if name == "boundary_strengths" else (float("nan"),) * len(old[0])
        return replace(sections, **{name: (row,) * len(old)})

    assert getattr(wanted.sections, name)
    plugin = backend_plugin("functional", bad=changing(functional, change))
    with make_session(plugins={"bad": plugin}) as session:
        run = session.run(stems)
    assert f"sections.{name} holds nan; wanted 0 to 1." in run.fallbacks[0]
    assert run.products.sections == wanted.sections


def test_a_separator_that_loses_a_sample_is_replaced(
    make_session, backend_plugin, separator, write_song
):
    class Short(separator):
        def __call__(self, mix, task):
            return part_of(super().__call__(mix, task), 0, mix.samples.shape[-1] - 1)

    plugin = backend_plugin("demix", good=separator, bad=Short)
    with make_session(plugins={"mine": plugin}) as session:
        run = session.run(MixFile(write_song(seconds=3.0)), outputs=["logits"])
    assert "(132299 samples of 132300)" in run.fallbacks[0]
    assert run.records[0].backend == "good"


def test_each_block_is_as_long_as_it_should_be(
    make_session, backend_plugin, separator, stems, write_song, monkeypatch
):
    monkeypatch.setattr(plan, "LONG_STEMS_S", 1.0)
    monkeypatch.setattr(steps, "BLOCK_FRAMES", 200)
    monkeypatch.setattr(plan, "LONG_SONG_FRAMES", 200)
    monkeypatch.setattr(streaming, "STREAMED_FROM_S", 1.0)
    plugins = {
        stage: backend_plugin(stage, bad=changing(MODULES[stage], half))
        for stage in ("spectrogram", "nn")
    }
    plugins["demix"] = backend_plugin("demix", good=separator)
    for start in (stems, MixFile(write_song(seconds=3.0))):
        with make_session(plugins=plugins, card={"context_frames": 100}) as session:
            run = session.run(start, outputs=["logits"])
        assert [told.split()[1] for told in run.fallbacks] == ["spectrogram=bad", "nn=bad"]


class Elsewhere(ForeignArray):
    device = "cpu"


@pytest.mark.parametrize(
    ("foreign", "wrap", "told"),
    [
        (
            False,
            ForeignArray,
            "It returned values in allin1_core/npu; its record declares arrays in numpy/cpu.",
        ),
        (True, np.asarray, "It returned values in numpy/cpu; its record declares"),
        (True, Elsewhere, "arrays in allin1_core/npu"),
    ],
)
def test_arrays_are_where_the_record_says(make_session, backend_plugin, stems, foreign, wrap, told):
    def create(setup):
        call = metrical_prep.create(setup)
        taking = on_foreign(call) if foreign else call

        def run(data, task):
            output = taking(data, task)
            return move_arrays(output, lambda a: wrap(a._values if foreign else a))

        return run

    Elsewhere.__module__ = ForeignArray.__module__
    plugin = backend_plugin("metrical_prep", foreign=foreign, bad=create)
    with make_session(plugins={"bad": plugin}) as session:
        run = session.run(stems, outputs=["beats"])
    assert told in run.fallbacks[0]
