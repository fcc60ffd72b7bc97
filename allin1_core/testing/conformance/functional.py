"""Conformance of backends that find sections."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from allin1_core.contracts.logits import Logits
from allin1_core.contracts.stages import Task
from allin1_core.testing.conformance.backend import BackendConformance
from allin1_core.testing.skipping import does_not_apply


class FunctionalConformance(BackendConformance):
    """Conformance of a backend that ends with ``functional``."""

    stage = "functional"

    def test_labels_are_those_of_the_model_where_it_offers_that(self) -> None:
        record, device = self.ready()
        if "labels" not in record.features:
            does_not_apply(f"{record.name} offers no labels but those of the Harmonix set")
        if record.stages != ("functional",):
            does_not_apply("what finds the logits knows the labels of its model")
        labels = ("calm", "loud", "ending")
        rng = np.random.default_rng(5)
        section = rng.standard_normal(3000).astype(np.float32) * 3
        function = rng.standard_normal((len(labels), 3000)).astype(np.float32)
        data = Logits(section, section, section, function)
        setup = replace(self.setup(device), labels=labels)
        with self.created(record, device, setup) as call:
            found = self.run(call, record, device, data, Task()).validate()
        assert {one.label for one in found.segments} <= set(labels), (
            "labels are not those of the model: take them from setup.labels"
        )
        assert found == self.reference(record, setup, data), (
            "with labels of the model's own it finds other sections than the reference"
        )
