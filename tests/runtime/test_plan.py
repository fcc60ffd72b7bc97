"""The stages of a run, and their inputs, depend on its input, its outputs, and the model."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.logits import Activations, Logits
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.contracts.speed import Speed
from allin1_core.errors import InputError
from allin1_core.io.mix import MixFile
from allin1_core.io.stems import StemFiles, read_stems
from allin1_core.measuring.random_weights import random_model
from allin1_core.reference import spectrogram
from allin1_core.runtime import steps, streaming
from allin1_core.runtime.plan import Wanted, stages_from
from allin1_core.testing.conformance import measure

OF_STEMS = random_model(0).card
OF_MIXES = replace(OF_STEMS, takes="mix")
BEATS = Wanted(frozenset(["beats"]))
METRE = ("metrical_prep", "metrical_dbn")


@pytest.mark.parametrize(
    ("start", "card", "stages"),
    [
        (Mix, OF_STEMS, ("demix", "spectrogram", "nn", *METRE)),
        (MixFile, OF_STEMS, ("demix", "spectrogram", "nn", *METRE)),
        (StemFiles, OF_STEMS, ("spectrogram", "nn", *METRE)),
        (Mix, OF_MIXES, ("spectrogram", "nn", *METRE)),
        (MixFile, OF_MIXES, ("spectrogram", "nn", *METRE)),
        (Stems, OF_MIXES, ("spectrogram", "nn", *METRE)),
        (StemFiles, OF_MIXES, ("spectrogram", "nn", *METRE)),
        (LogSpectrogram, OF_MIXES, ("nn", *METRE)),
        (Logits, OF_STEMS, METRE),
        (Activations, OF_STEMS, ("metrical_dbn",)),
    ],
)
def test_the_stages_lead_from_the_start_to_the_beats(start, card, stages):
    assert stages_from(start, BEATS, card) == stages


def test_no_outputs_and_unknown_outputs_are_refused():
    with pytest.raises(InputError, match="No outputs were requested"):
        Wanted(frozenset())
    with pytest.raises(InputError, match="There is no output called tempo"):
        Wanted(frozenset({"tempo"}))


@pytest.fixture
def session(make_session, make_plugin, monkeypatch):
    """On a model that takes the mix, with a spectrogram of it: that of four equal stems."""

    def create(setup):
        call = spectrogram.create(setup)

        def transform(mix, task):
            assert isinstance(mix, Mix)
            lengths.append(mix.samples.shape[-1])
            return call(Stems(np.repeat(mix.samples[None], 4, axis=0)), task)

        return transform

    lengths = []
    module = ModuleType("spectrogram_of_mixes")
    module.create = create
    monkeypatch.setitem(sys.modules, module.__name__, module)
    record = Backend(
        "of-mixes",
        "spectrogram",
        f"{module.__name__}:create",
        speed=(Speed("", 0.0, 1e-9, "a test"),),
        takes="mix",
    )
    plugin = make_plugin(allin1_spectrogram=lambda: [record])
    with make_session(plugins={"mixes": plugin}, card={"takes": "mix"}) as session:
        session.lengths = lengths
        yield session


def stages(run):
    return [record.stages[0] for record in run.records]


def test_a_model_that_takes_the_mix_needs_no_separation(session, write_song):
    run = session.run(MixFile(write_song(seconds=4.0)), outputs=["logits"])
    assert stages(run) == ["spectrogram", "nn"]
    assert run.input["kind"] == "mix"


def test_stems_are_added_up_for_a_model_that_takes_the_mix(session, stems):
    read, _, _ = read_stems(stems)
    mix = Mix(np.repeat(read.samples.sum(axis=0), 2 // read.samples.shape[1], axis=0))
    wanted = session.run(mix, outputs=["logits"]).products.logits
    for start in (read, stems):
        run = session.run(start, outputs=["logits"])
        assert stages(run) == ["spectrogram", "nn"]
        assert measure(wanted, run.products.logits) == 0
    assert run.input["kind"] == "stems"


def test_a_long_song_is_transformed_in_blocks(session, write_song, monkeypatch):
    path = write_song(seconds=5.0)
    whole = session.run(MixFile(path), outputs=["logits"]).products.logits
    monkeypatch.setattr(streaming, "STREAMED_FROM_S", 3.0)
    monkeypatch.setattr(streaming, "READ_S", 0.7)
    monkeypatch.setattr(steps, "BLOCK_FRAMES", 200)
    session.lengths.clear()
    run = session.run(MixFile(path), outputs=["logits"])
    assert len(session.lengths) == 3
    assert measure(whole, run.products.logits) < 1e-4
    assert run.input["files"][0]["path"] == str(path)
