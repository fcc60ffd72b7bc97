"""Valid parameters of separations."""

from __future__ import annotations

import math

import pytest

from allin1_core.contracts.demix import DemixParameters
from allin1_core.errors import ContractError


def test_the_defaults_are_those_of_the_original():
    parameters = DemixParameters()
    assert (parameters.model, parameters.shifts, parameters.overlap) == ("htdemucs", 1, 0.25)
    assert parameters.segment_s is None
    assert parameters.validate() is parameters


@pytest.mark.parametrize(
    "changes",
    [
        {"shifts": 0},
        {"overlap": 0},
        {"overlap": 0.99},
        {"segment_s": 0.1},
        {"batch_size": 1},
        {"precision": "tf32"},
        {"weights": "~/weights"},
        {"weights": "random:0"},
        {"weights": f"random:{2**63 - 1}"},
    ],
    ids=str,
)
def test_what_is_in_range_is_accepted(changes):
    DemixParameters(**changes).validate()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": ""}, "no name"),
        ({"shifts": -1}, "0 or more"),
        ({"overlap": -0.1}, "0 to 0.99"),
        ({"overlap": 1.0}, "0 to 0.99"),
        ({"overlap": math.nan}, "0 to 0.99"),
        ({"seed": -1}, "seed"),
        ({"segment_s": 0.05}, "0.1 or more"),
        ({"segment_s": math.inf}, "0.1 or more"),
        ({"segment_s": math.nan}, "0.1 or more"),
        ({"precision": "float64"}, "auto, float32, tf32, float16"),
        ({"batch_size": 0}, "1 or more"),
        ({"weights": "random:"}, "random:SEED"),
        ({"weights": "random:-1"}, "random:SEED"),
        ({"weights": "random:1.5"}, "random:SEED"),
        ({"weights": "random:²"}, "random:SEED"),
        ({"weights": f"random:{2**63}"}, "random:SEED"),
    ],
    ids=str,
)
def test_what_is_out_of_range_is_refused(changes, told):
    with pytest.raises(ContractError, match=told):
        DemixParameters(**changes).validate()


@pytest.mark.parametrize(
    ("weights", "seed"), [(None, None), ("folder", None), ("random:0", 0), ("random:1234", 1234)]
)
def test_random_weights_have_a_seed(weights, seed):
    assert DemixParameters(weights=weights).random_seed == seed
