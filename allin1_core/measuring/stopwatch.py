"""Timing of backends, which separates set-up from the cost per second of audio."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from allin1_core.runtime.backends import close_backend

#: Maximum number of calls for each length.
REPEATS = 5

#: Seconds after which no further call is started.
BUDGET_S = 3.0


@dataclass(frozen=True)
class Times:
    """Wall times in seconds.

    Attributes
    ----------
    create_s
        Creation of the callable.
    first_s
        Its first call, on the short input, including compilation and warm-up.
    short_s, long_s
        The best later call on the short and on the long input.
    first_long_s
        The first call on the long input, after those on the short one, including compilation for another length.
    """

    create_s: float
    first_s: float
    short_s: float
    long_s: float
    first_long_s: float


def time_backend(
    create: Callable[[], Any],
    short: Any,
    long: Any,
    run: Callable[[Any, Any], Any],
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """Time a backend on two inputs.

    Parameters
    ----------
    create
        Creates the callable.
    short, long
        The inputs, in the space of the backend.
    run
        Calls it on an input, and returns when the work is done, also on a device.
    clock
        Returns seconds.
    """
    began = clock()
    call = create()
    created = clock()
    run(call, short)
    first_s = clock() - created
    try:
        of_short = call_times(lambda: run(call, short), clock)
        of_long = call_times(lambda: run(call, long), clock)
        return Times(
            create_s=created - began,
            first_s=first_s,
            short_s=min(of_short),
            long_s=min(of_long),
            first_long_s=of_long[0],
        )
    finally:
        close_backend(call, "that is being timed")


#: The first call on another length is also slower because of noise and cold caches: less than this fraction of a usual
#: call does not count as a cost of the length.
LEAST_SHAPE_COST = 0.5


def separate(times: Times, short_audio_s: float, long_audio_s: float) -> tuple[float, float, float]:
    """Return set-up in seconds, seconds per second of audio, and seconds for each new length; none is negative.

    Noise only ever adds to times, so the best ones are compared. If the long call was no slower than the short one, the
    work hardly depends on the length: the rate is then bounded from above by the long call alone.

    >>> separate(Times(0.5, 0.4, 0.3, 1.2, 1.2), 10.0, 40.0)
    (0.6, 0.03, 0.0)
    >>> separate(Times(0.5, 3.4, 0.3, 1.2, 4.2), 10.0, 40.0)
    (0.6, 0.03, 3.0)
    """
    rate = (times.long_s - times.short_s) / (long_audio_s - short_audio_s)
    if rate <= 0:
        rate = times.long_s / long_audio_s
    each_call_s = max(0.0, times.short_s - rate * short_audio_s)
    shape_s = times.first_long_s - times.long_s
    if shape_s < LEAST_SHAPE_COST * times.long_s:
        shape_s = 0.0
    warm_up_s = max(0.0, times.first_s - times.short_s - shape_s)
    setup_s = times.create_s + warm_up_s + each_call_s
    return round(setup_s, 9), round(rate, 12), round(shape_s, 9)


def best_time(call: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """Time a call several times, and return the shortest time."""
    return min(call_times(call, clock))


def call_times(
    call: Callable[[], Any], clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Time a call several times, and return the times in order."""
    times = []
    started = clock()
    for _ in range(REPEATS):
        began = clock()
        call()
        ended = clock()
        times.append(ended - began)
        if ended - started > BUDGET_S:
            break
    return times
