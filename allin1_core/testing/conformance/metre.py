"""Conformance of backends between logits and beats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.logits import Activations
from allin1_core.contracts.metre import (
    DEFAULT_THRESHOLD,
    Metre,
    MetreParameters,
    TempoAlternative,
    TempoPrior,
)
from allin1_core.contracts.stages import Setup, Task
from allin1_core.runtime.checking import has_reference
from allin1_core.runtime.difference import largest, measure
from allin1_core.testing import signals
from allin1_core.testing.conformance.backend import BackendConformance, tolerance_of
from allin1_core.testing.conformance.inputs import sample_of
from allin1_core.testing.skipping import does_not_apply


class MetricalPrepConformance(BackendConformance):
    """Conformance of a backend that ends with ``metrical_prep``."""

    stage = "metrical_prep"


class MetricalDbnConformance(BackendConformance):
    """Conformance of a backend that ends with ``metrical_dbn``."""

    stage = "metrical_dbn"

    #: Parameters that the decoder must support, besides the defaults.
    parameters: ClassVar[tuple[MetreParameters, ...]] = (
        MetreParameters(threshold=DEFAULT_THRESHOLD),
        MetreParameters(threshold=0.0, correct=False),
        MetreParameters(beats_per_bar=(2, 5, 7), min_bpm=60, max_bpm=180, threshold=0.1),
        MetreParameters(beats_per_bar=(4,), num_tempi=None, transition_lambda=50, threshold=0.0),
    )

    def test_parameters_are_obeyed(self) -> None:
        record, device = self._compared()
        for parameters in self.parameters:
            setup = replace(self.setup(device), metre=parameters)
            for name, wanted, output in self._both(record, device, setup):
                assert measure(wanted, output) <= tolerance_of(record), (
                    f"{name}: not what the reference finds with {parameters}: take the parameters"
                    " from setup.metre"
                )

    def test_the_frame_rate_is_obeyed(self) -> None:
        record, device = self._compared()
        if record.stages[0] != "metrical_dbn":
            does_not_apply("it makes the activations itself")
        setup = self.setup(device)
        values = signals.song_activations(1500, bpm=100).values
        with self.created(record, device) as call:
            for rate in (40.0, 50.0, 200.0):
                data = Activations(values, rate)
                wanted = self.reference(record, setup, data)
                output = self.run(call, record, device, data, Task())
                assert measure(wanted, output) <= tolerance_of(record), (
                    f"not what the reference finds at {rate:g} frames per second:"
                    " use activations.frames_per_second"
                )

    def test_what_it_says_of_its_confidence_is_the_references(self) -> None:
        record, device = self._compared()
        for name, wanted, output in self._both(record, device, self.setup(device)):
            if output.beat_confidences is not None:
                difference = largest(wanted.beat_confidences, output.beat_confidences)
                assert difference < 1e-6, f"{name}: beat_confidences differ by {difference:g}"
            if output.metre_log_probabilities:
                assert_same_metres(wanted, output, name)
            if output.alternatives:
                assert_same_alternatives(wanted.alternatives, output.alternatives, name)

    def test_a_prior_over_tempo_is_obeyed_where_it_is_offered(self) -> None:
        record, device = self._compared()
        if "tempo_prior" not in record.features:
            does_not_apply(f"{record.name} offers no prior over tempo")
        for prior in (TempoPrior(120, 0.7), TempoPrior(70, 0.3, 0.5)):
            metre = MetreParameters(threshold=0.1, tempo_prior=prior)
            setup = replace(self.setup(device), metre=metre)
            for name, wanted, output in self._both(record, device, setup):
                assert measure(wanted, output) <= tolerance_of(record), (
                    f"{name}: not what the reference finds with {prior}: use"
                    " setup.metre.tempo_prior, or take the feature tempo_prior off the record"
                )
                if output.alternatives:
                    assert_same_alternatives(wanted.alternatives, output.alternatives, name)

    def _compared(self) -> tuple[Backend[Any], str]:
        """The record and its device; skips the test if not all its stages have a reference."""
        record, device = self.ready()
        tolerance_of(record)
        if not has_reference(self.offers()[0], record.stages):
            pytest.skip(f"there is no reference of {record.stages[0]}")
        return record, device

    def _both(
        self, record: Backend[Any], device: str, setup: Setup
    ) -> Iterator[tuple[str, Metre, Metre]]:
        """Yield the name of each input with the outputs of the reference and the backend."""
        is_alone = record.stages[0] == "metrical_dbn"
        inputs = self.inputs() if is_alone else iter([("a song", sample_of(record))])
        with self.created(record, device, setup) as call:
            for name, data in inputs:
                wanted = self.reference(record, setup, data)
                yield name, wanted, self.run(call, record, device, data, Task())


def assert_same_metres(wanted: Metre, found: Metre, name: str) -> None:
    """Assert that the metres are those of the reference, with the same log-probabilities up to 1e-3."""
    one, other = wanted.metre_log_probabilities, found.metre_log_probabilities
    assert [beats for beats, _ in one] == [beats for beats, _ in other], (
        f"{name}: metre_log_probabilities are of other metres than the reference's"
    )
    for (_, a), (_, b) in zip(one, other, strict=True):
        assert a == b or abs(a - b) < 1e-3, f"{name}: metre_log_probabilities differ: {a}, {b}"


def assert_same_alternatives(
    wanted: tuple[TempoAlternative, ...], found: tuple[TempoAlternative, ...], name: str
) -> None:
    """Assert that the tempi are those of the reference, with the same confidences up to 1e-6."""
    by_relation = {one.relation: one for one in found}
    assert by_relation.keys() == {one.relation for one in wanted}, f"{name}: other alternatives"
    for one in wanted:
        other = by_relation[one.relation]
        assert abs(one.confidence - other.confidence) < 1e-6, f"{name}: {one.relation}: confidence"
        assert (one.bpm, one.step) == pytest.approx((other.bpm, other.step)), (
            f"{name}: {one.relation}: tempo or step are not the reference's"
        )
