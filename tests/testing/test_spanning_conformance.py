"""Backends that span stages: tested by the class of their last stage, with inputs of the first."""

from __future__ import annotations

import pytest

from allin1_core.testing.conformance import (
    FunctionalConformance,
    MetricalDbnConformance,
    MetricalPrepConformance,
    NnConformance,
    SpectrogramConformance,
)

HOOKS = """
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.model import ModelCard
from allin1_core.contracts.parity import close
from allin1_core.markers import hookimpl

@hookimpl
def allin1_metrical_prep():
    stages = ("metrical_prep", "metrical_dbn")
    for name in ("right", "deaf", "late"):
        yield Backend(name, "metrical_prep", f"PACKAGE.work:{name}", "for a test", spans=stages)

@hookimpl
def allin1_demix():
    stages = ("demix", "spectrogram", "nn", "metrical_prep")
    yield Backend("whole", "demix", "PACKAGE.work:whole", "for a test", spans=stages, models=("own",),
        parity=None)
    stages += ("metrical_dbn", "functional")
    yield Backend("both", "demix", "PACKAGE.work:both", "for a test", spans=stages, models=("own",),
        parity=None)

@hookimpl
def allin1_spectrogram():
    stages = ("spectrogram", "nn")
    yield Backend("own", "spectrogram", "PACKAGE.work:own", "for a test", spans=stages,
        models=("own",), PARITY)
    yield Backend("unknown", "spectrogram", "PACKAGE.work:own", "for a test", spans=stages,
        models=("another",), parity=None)

@hookimpl
def allin1_models():
    yield ModelCard("mine", "Mine", (), 0.1, "MIT", "a test", architecture="own",
        labels=("calm", "loud"))
"""

WORK = """
import numpy as np
from dataclasses import replace
from allin1_core.contracts.findings import Findings
from allin1_core.contracts.logits import Activations, Logits
from allin1_core.contracts.metre import Metre
from allin1_core.contracts.sections import Sections, Segment
from allin1_core.contracts.spectrogram import frame_count
from allin1_core.contracts.stages import DEFAULT_METRE
from allin1_core.reference import metrical_dbn, metrical_prep

def right(setup):
    prepare, decode = metrical_prep.create(setup), metrical_dbn.create(setup)
    return lambda logits, task: decode(prepare(logits, task), task)

def deaf(setup):
    return right(replace(setup, metre=DEFAULT_METRE))

def late(setup):
    good = right(setup)
    def call(logits, task):
        metre = good(logits, task)
        return replace(metre, beat_times_s=metre.beat_times_s + 0.01)
    return call

def whole(setup):
    def call(mix, task):
        return Activations(np.zeros((frame_count(mix.samples.shape[-1]), 2), np.float32))
    return call

def both(setup):
    def call(mix, task):
        segment = Segment(0.0, mix.duration_s, setup.labels[-1])
        return Findings(Metre(np.zeros(0), np.zeros(0, np.int64)), Sections((segment,)))
    return call

def own(setup):
    def call(stems, task):
        frames = frame_count(stems.samples.shape[-1])
        task.progress(1.0)
        one = np.zeros(frames, np.float32)
        return Logits(one, one, one, np.zeros((len(setup.labels), frames), np.float32))
    return call
"""


@pytest.fixture
def failures(write_modules, broken_promises):
    def run(base, name, parity="parity=None"):
        package = write_modules(hooks=HOOKS.replace("PARITY", parity), work=WORK)
        without = ("test_declaring_it_imports_nothing_heavy",)
        return broken_promises(base, without=without, hooks=f"{package}.hooks", backend=name)

    return run


@pytest.mark.parametrize(
    ("base", "name"),
    [
        (MetricalDbnConformance, "right"),
        (MetricalPrepConformance, "whole"),
        (FunctionalConformance, "both"),
        (NnConformance, "own"),
    ],
)
def test_right_backends_pass(failures, base, name):
    assert failures(base, name) == {}


@pytest.mark.parametrize(
    ("base", "name", "promise", "words"),
    [
        (MetricalDbnConformance, "deaf", "parameters are obeyed", "from setup.metre"),
        (
            MetricalDbnConformance,
            "late",
            "it keeps its promise of parity",
            "differs from the reference by 0.01",
        ),
        (
            MetricalPrepConformance,
            "right",
            "its output fulfils the contract",
            "does not end with stage metrical_prep but with metrical_dbn: subclass the class of that stage",
        ),
        (SpectrogramConformance, "own", "it takes stems", "but with nn"),
        (NnConformance, "unknown", "its output fulfils the contract", "offer one by allin1_models"),
    ],
)
def test_each_mistake_is_caught(failures, base, name, promise, words):
    assert words in failures(base, name)[promise]


def test_a_network_of_another_architecture_cannot_promise_parity(failures):
    failed = failures(NnConformance, "own", "parity=close(1e-6)")
    assert "declare parity=None" in failed["it keeps its promise of parity"]
