"""Estimates: a measurement, or else the prior, scaled to the size of the model."""

from __future__ import annotations

import pytest

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.speed import Speed
from allin1_core.selection.cost import UNKNOWN_S, estimate

PRIOR = Speed("cpu", 1.0, 0.08, "a bench")


def backend(stage="nn", *speeds, **changes):
    return Backend("mine", stage, "nowhere:create", speed=speeds or (PRIOR,), **changes)


@pytest.mark.parametrize(("members", "seconds"), [(8, 9.0), (1, 2.0), (16, 17.0), (None, 9.0)])
def test_a_prior_of_the_network_is_in_proportion_to_the_members(members, seconds):
    cost, evidence = estimate(backend(), 100.0, members=members)
    assert cost == pytest.approx(seconds)
    assert evidence.startswith("prior: a bench")
    assert ("scaled from 8 networks" in evidence) == (members in (1, 16))


def test_it_counts_from_the_members_that_the_author_had():
    one = Speed("cpu", 1.0, 0.08, "a bench", members=1)
    assert estimate(backend("nn", one), 100.0, members=1)[0] == pytest.approx(9.0)
    assert estimate(backend("nn", one), 100.0, members=4)[0] == pytest.approx(33.0)


def test_other_stages_do_not_depend_on_the_members_and_spanning_ones_do():
    assert estimate(backend("functional"), 100.0, members=1)[0] == pytest.approx(9.0)
    fused = backend("spectrogram", spans=("spectrogram", "nn"))
    assert estimate(fused, 100.0, members=1)[0] == pytest.approx(2.0)


def test_what_was_measured_here_is_taken_as_it_is():
    measured = Speed("cpu", 0.5, 0.01, "measured here")
    assert estimate(backend(), 100.0, measured, members=1) == (1.5, "measured here")


def test_the_prior_of_the_backends_device_is_taken_and_an_unknown_speed_is_last():
    speeds = (Speed("cuda", 0.0, 1.0, "a card"), PRIOR)
    assert estimate(backend("nn", *speeds), 100.0)[0] == pytest.approx(9.0)
    unknown = Backend("mine", "nn", "nowhere:create")
    assert estimate(unknown, 100.0, members=1) == (UNKNOWN_S, "no speed known")
