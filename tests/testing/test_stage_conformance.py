"""The kit for single stages: each way to be wrong at what only that stage does is caught by the test that is meant to."""

from __future__ import annotations

import pytest

from allin1_core.testing.conformance import (
    FunctionalConformance,
    MetricalDbnConformance,
    MixSpectrogramConformance,
    NnConformance,
    SpectrogramConformance,
)

HOOKS = """
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.parity import close
from allin1_core.markers import hookimpl

@hookimpl
def allin1_{stage}():
    yield Backend("wrong", "{stage}", "PACKAGE.work:create", "for a test", {record})
"""

WORK = """
from dataclasses import replace
import numpy as np
from allin1_core.contracts.model import Model
from allin1_core.contracts.stages import DEFAULT_METRE
from allin1_core.errors import WeightsError
from allin1_core.reference import {module}

def create(setup):
    {factory}
    good = {module}.create(setup)
    def call(data, task):
        {before}
        output = good(data, task)
        {body}
        return output
    return call
"""

#: Each class with its stage, the reference that does it right, and what the record declares.
STAGES = {
    FunctionalConformance: ("functional", "functional", "features=('labels',)"),
    MetricalDbnConformance: ("metrical_dbn", "metrical_dbn", "features=('tempo_prior',)"),
    NnConformance: ("nn", "network", "models=('all-in-one',)"),
    MixSpectrogramConformance: ("spectrogram", "mix_spectrogram", "takes='mix'"),
    SpectrogramConformance: ("spectrogram", "spectrogram", ""),
}


@pytest.fixture
def failures(write_modules, broken_promises):
    """Write a backend with a mistake, and test one promise; gives what the kit says, by the test that fails."""

    def run(kind, promise, *, factory="pass", before="pass", body="pass", record=None):
        stage, module, declared = STAGES[kind]
        package = write_modules(
            hooks=HOOKS.format(stage=stage, record=declared if record is None else record),
            work=WORK.format(module=module, factory=factory, before=before, body=body),
        )
        members = {"hooks": f"{package}.hooks", "backend": "wrong"}
        return broken_promises(kind, only=(promise,), **members)

    return run


LABELS = "labels are those of the model where it offers that"
CONFIDENCE = "what it says of its confidence is the references"
PRIOR = "a prior over tempo is obeyed where it is offered"
EMBEDDINGS = "embeddings come when asked for"
PARAMETERS = "missing and misshapen parameters are named"
BLOCKS = "block by block it gives the same"


@pytest.mark.parametrize(
    ("kind", "promise", "words", "mistake"),
    [
        # Sections.
        (
            FunctionalConformance,
            LABELS,
            "labels are not those of the model: take them from setup.labels",
            {"factory": "setup = replace(setup, labels=tuple('abc'))"},
        ),
        (
            FunctionalConformance,
            LABELS,
            "with labels of the model's own it finds other sections than the reference",
            {
                "body": "last = replace(output.segments[-1], label=setup.labels[0]);"
                " output = replace(output, segments=[*output.segments[:-1], last])"
            },
        ),
        # Metre.
        (
            MetricalDbnConformance,
            "parameters are obeyed",
            "take the parameters from setup.metre",
            {"factory": "setup = replace(setup, metre=DEFAULT_METRE)"},
        ),
        (
            MetricalDbnConformance,
            "the frame rate is obeyed",
            "not what the reference finds at 40 frames per second: use activations.frames_per_second",
            {"before": "data = replace(data, frames_per_second=100.0)"},
        ),
        (
            MetricalDbnConformance,
            CONFIDENCE,
            "beat_confidences differ by",
            {"body": "output = replace(output, beat_confidences=output.beat_confidences / 2)"},
        ),
        (
            MetricalDbnConformance,
            CONFIDENCE,
            "metre_log_probabilities are of other metres than the reference's",
            {
                "body": "output = replace(output, metre_log_probabilities=output.metre_log_probabilities[::-1])"
            },
        ),
        (
            MetricalDbnConformance,
            CONFIDENCE,
            "metre_log_probabilities differ",
            {
                "body": "output = replace(output, metre_log_probabilities="
                "tuple((n, p - 1) for n, p in output.metre_log_probabilities))"
            },
        ),
        (
            MetricalDbnConformance,
            CONFIDENCE,
            "other alternatives",
            {"body": "output = replace(output, alternatives=output.alternatives[:1])"},
        ),
        (
            MetricalDbnConformance,
            CONFIDENCE,
            ": confidence",
            {
                "body": "output = replace(output, alternatives="
                "tuple(replace(one, confidence=one.confidence / 2) for one in output.alternatives))"
            },
        ),
        (
            MetricalDbnConformance,
            CONFIDENCE,
            "tempo or step",
            {
                "body": "output = replace(output, alternatives="
                "tuple(replace(one, bpm=one.bpm + 1) for one in output.alternatives))"
            },
        ),
        (
            MetricalDbnConformance,
            PRIOR,
            "use setup.metre.tempo_prior, or take the feature tempo_prior off the record",
            {
                "factory": "setup = replace(setup, metre=replace(setup.metre, tempo_prior=None))",
                "body": "output = replace(output, alternatives=())",
            },
        ),
        (
            MetricalDbnConformance,
            PRIOR,
            "other alternatives",
            {"body": "output = replace(output, alternatives=output.alternatives[:1])"},
        ),
        # The network.
        (
            NnConformance,
            "an ensemble is the mean of its members",
            "beat of two members is not the mean of each: run all of setup.model.members",
            {
                "factory": "setup = replace(setup, model=Model(setup.model.card, setup.model.members[:1]))"
            },
        ),
        (
            NnConformance,
            EMBEDDINGS,
            "it gives embeddings unasked",
            {"before": "task = replace(task, embeddings=True)"},
        ),
        (
            NnConformance,
            EMBEDDINGS,
            "it gives no embeddings where task.embeddings is set",
            {"before": "task = replace(task, embeddings=False)"},
        ),
        (
            NnConformance,
            EMBEDDINGS,
            "embeddings of 2 members have the shape (4, 57, 24); give (4, 57, 24, 2)",
            {
                "body": "output = replace(output, embeddings=output.embeddings[:, :, :, 0])"
                " if task.embeddings and output.embeddings.ndim > 3 else output"
            },
        ),
        (
            NnConformance,
            EMBEDDINGS,
            "embeddings differ from the reference's by",
            {
                "body": "output = replace(output, embeddings=output.embeddings + np.float32(0.01))"
                " if task.embeddings else output"
            },
        ),
        (
            NnConformance,
            "silence and loud input give numbers",
            "a spectrogram of 100 gives beat that are no numbers",
            {
                "body": "output = replace(output, beat=output.beat * np.float32(np.nan))"
                " if data.frames.max() > 99 else output"
            },
        ),
        (
            NnConformance,
            PARAMETERS,
            "it says 'Something is wrong.': raise a WeightsError that names it (encoder.layers.4",
            {"factory": "raise WeightsError('Something is wrong.')"},
        ),
        (
            NnConformance,
            PARAMETERS,
            "its factory raised KeyError: raise a WeightsError",
            {"factory": "setup.model.members[0]['encoder.layers.4.instlayer.attention.self.rpb']"},
        ),
        (
            NnConformance,
            "a missing model is an error of weights",
            "without parameters it says nothing: raise a WeightsError",
            {"factory": "return lambda data, task: None"},
        ),
        (
            NnConformance,
            "progress ends at one",
            "its progress goes back: tell fractions that grow",
            {"body": "task.progress(0.5); task.progress(1.0)"},
        ),
        (
            NnConformance,
            "progress ends at one",
            "its progress ends at 0.5: tell 1.0 at the end",
            {
                "before": "told = task.progress; task = replace(task, progress=lambda done: told(done / 2))"
            },
        ),
        # Spectrograms.
        (
            MixSpectrogramConformance,
            "a mono mix has a silent side",
            "the side of a mono mix is not silent",
            {"body": "output = replace(output, frames=output.frames + np.float32(0.1))"},
        ),
        (
            MixSpectrogramConformance,
            "a mono mix has a silent side",
            "mid, percussive or harmonic view of music is empty",
            {"body": "output = replace(output, frames=0 * output.frames)"},
        ),
        (
            MixSpectrogramConformance,
            BLOCKS,
            "give another spectrogram than the whole",
            {"body": "output = replace(output, frames=output.frames + output.frames.mean())"},
        ),
        (
            SpectrogramConformance,
            "it takes stems",
            "it takes the mix: subclass MixSpectrogramConformance",
            {"record": "takes='mix'"},
        ),
        (
            MixSpectrogramConformance,
            "it takes the mix",
            "it takes stems: declare takes='mix', or subclass SpectrogramConformance",
            {"record": ""},
        ),
    ],
)
def test_each_mistake_is_caught(failures, kind, promise, words, mistake):
    failed = failures(kind, promise, **mistake)
    assert words in failed.get(promise, "nothing"), failed


@pytest.mark.parametrize(
    ("kind", "promise"),
    [
        (FunctionalConformance, LABELS),
        (NnConformance, EMBEDDINGS),
        (NnConformance, PARAMETERS),
        (MixSpectrogramConformance, BLOCKS),
    ],
)
def test_without_a_mistake_nothing_is(failures, kind, promise):
    assert failures(kind, promise) == {}
