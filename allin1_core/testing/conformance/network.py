"""Conformance of networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.model import Model
from allin1_core.contracts.spectrogram import BANDS, LogSpectrogram
from allin1_core.contracts.stages import Task
from allin1_core.errors import WeightsError
from allin1_core.runtime.backends import create
from allin1_core.testing.conformance.backend import BackendConformance, tolerance_of
from allin1_core.testing.conformance.inputs import sample_of
from allin1_core.testing.conformance.running import runs_all_in_one
from allin1_core.testing.skipping import does_not_apply
from allin1_core.testing.weights import random_model

#: Fields of the logits of every network.
FIELDS = ("beat", "downbeat", "section", "function")


class NnConformance(BackendConformance):
    """Conformance of a backend that ends with ``nn``.

    A backend for All-In-One gets seeded random parameters, any other one the model of its plugin.
    """

    stage = "nn"

    #: Largest difference between the logits of an ensemble and the mean over its members.
    mean_tolerance: ClassVar[float] = 1e-6

    def test_an_ensemble_is_the_mean_of_its_members(self) -> None:
        record, device = self._of_all_in_one()
        model = random_model(seed=5, members=2)
        data = sample_of(record)

        def logits(model: Model) -> Any:
            call = create(record, replace(self.setup(device), model=model))
            return self.run(call, record, device, data, Task())

        both = logits(model)
        each = [logits(type(model)(model.card, (member,))) for member in model.members]
        for field in FIELDS:
            mean = (getattr(each[0], field) + getattr(each[1], field)) / 2
            assert np.allclose(getattr(both, field), mean, rtol=0, atol=self.mean_tolerance), (
                f"{field} of two members is not the mean of each: run all of setup.model.members,"
                " and give the mean of their logits"
            )

    def test_embeddings_come_when_asked_for(self) -> None:
        record, device = self._of_all_in_one()
        data = sample_of(record)
        for members in (1, 2):
            setup = replace(self.setup(device), model=random_model(seed=5, members=members))
            call = create(record, setup)
            assert self.run(call, record, device, data, Task()).embeddings is None, (
                "it gives embeddings unasked: give them where task.embeddings is set"
            )
            asked = Task(embeddings=True)
            output = self.run(call, record, device, data, asked).embeddings
            wanted = self.reference(record, setup, data, asked).embeddings
            assert output is not None, "it gives no embeddings where task.embeddings is set"
            assert output.shape == wanted.shape, (
                f"embeddings of {members} members have the shape {output.shape}; give {wanted.shape}"
            )
            tolerance = max(1e-4, tolerance_of(record))
            difference = np.abs(output - wanted).max()
            assert difference < tolerance, (
                f"embeddings differ from the reference's by {difference:g}"
            )

    def test_silence_and_loud_input_give_numbers(self) -> None:
        record, device = self.ready()
        if record.stages[0] != "nn":
            does_not_apply("what comes before the network decides how loud its input is")
        with self.created(record, device) as call:
            for level in (0, 100):
                data = LogSpectrogram(np.full((4, 90, BANDS), level, np.float32))
                output = self.run(call, record, device, data, Task())
                for field in FIELDS:
                    assert np.isfinite(getattr(output, field)).all(), (
                        f"a spectrogram of {level} gives {field} that are no numbers:"
                        " subtract the largest score before the exponential"
                    )

    def test_missing_and_misshapen_parameters_are_named(self) -> None:
        record, device = self._of_all_in_one()
        good = dict(random_model(seed=3).members[0])
        name = "encoder.layers.4.instlayer.attention.self.rpb"
        missing = {key: value for key, value in good.items() if key != name}
        misshapen = {**good, name: good[name][:, :, :7]}
        card = random_model(seed=3).card
        for bad in (missing, misshapen):
            setup = replace(self.setup(device), model=Model(card, (bad,)))
            text = _refusal(record, setup)
            assert name in text, (
                f"of a parameter that is missing or has another shape it says {text!r}:"
                f" raise a WeightsError that names it ({name})"
            )

    def test_a_missing_model_is_an_error_of_weights(self) -> None:
        record, device = self._of_all_in_one()
        card = random_model(seed=1).card
        for none in (None, Model(card, ())):
            text = _refusal(record, replace(self.setup(device), model=none))
            assert text, "without parameters it says nothing: raise a WeightsError"

    def test_progress_ends_at_one(self) -> None:
        self.check_progress()

    def test_what_progress_raises_comes_out(self) -> None:
        self.check_cancelling(self.run)

    def _of_all_in_one(self) -> tuple[Backend[Any], str]:
        """The record and its device; skips the test if it runs another architecture than All-In-One."""
        record, device = self.ready()
        if not runs_all_in_one(record):
            does_not_apply(
                f"{record.name} does not run All-In-One, whose parameters can be made up"
            )
        return record, device


def _refusal(record: Backend[Any], setup: Any) -> str:
    """The message of the WeightsError that a factory raises; empty if it raises none."""
    try:
        create(record, setup)
    except WeightsError as error:
        return str(error)
    except Exception as error:
        pytest.fail(f"its factory raised {type(error).__name__}: raise a WeightsError")
    return ""
