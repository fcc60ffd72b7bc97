"""Set-up and rate are separated, whatever the noise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allin1_core.measuring.stopwatch import BUDGET_S, REPEATS, Times, separate, time_backend

seconds = st.floats(0, 1e3)


@given(setup=seconds, each=seconds, rate=st.floats(1e-6, 1e2))
def test_what_is_linear_is_recovered(setup, each, rate):
    times = Times(setup, each + 4 * rate, each + 4 * rate, each + 16 * rate, each + 16 * rate)
    found = separate(times, 4.0, 16.0)
    assert found == pytest.approx((setup + each, rate, 0.0), rel=1e-4, abs=1e-5)


@given(seconds, seconds, seconds, seconds, seconds)
def test_no_noise_makes_anything_negative(create, first, short, long, first_long):
    found = separate(Times(create, first, short, long, first_long), 4.0, 16.0)
    assert min(found) >= 0


def test_compiling_for_each_length_is_reported_from_setting_up_once():
    compiled = Times(create_s=1.0, first_s=3.4, short_s=0.4, long_s=1.6, first_long_s=4.6)
    assert separate(compiled, 4.0, 16.0) == pytest.approx((1.0, 0.1, 3.0))
    noise = Times(create_s=1.0, first_s=0.5, short_s=0.4, long_s=1.6, first_long_s=1.9)
    assert separate(noise, 4.0, 16.0) == pytest.approx((1.1, 0.1, 0.0))


class Clock:
    """A clock that moves only when work is done."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_the_best_call_counts_and_the_first_is_set_up():
    clock = Clock()
    costs = {"short": iter([0.7, 0.3, 0.1, 0.2, 0.4, 0.5]), "long": iter([0.4] * 5)}
    closed = []

    class Call:
        def close(self):
            closed.append(True)

    def create():
        clock.now += 1.0
        return Call()

    def run(call, data):
        clock.now += next(costs[data])

    times = time_backend(create, "short", "long", run, clock)
    assert times == Times(*map(pytest.approx, (1.0, 0.7, 0.1, 0.4, 0.4)))
    assert closed == [True]


def test_a_slow_backend_is_not_called_over_and_over():
    clock = Clock()
    calls = []

    def run(call, data):
        calls.append(data)
        clock.now += BUDGET_S * 2

    time_backend(lambda: None, "short", "long", run, clock)
    assert calls == ["short", "short", "long"]
    assert REPEATS > 1
