"""Timing a backend so that what it costs once and what it costs per second of audio come apart."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from allin1_core.runtime.backends import close_backend

#: Calls of each length are repeated up to so many times,
REPEATS = 5

#: but not begun again once so many seconds have gone by.
BUDGET_S = 3.0


@dataclass(frozen=True)
class Times:
    """Wall times in seconds.

    Attributes
    ----------
    create_s
        Making the callable.
    first_s
        Its first call, on the short input: compiling and warming up are in it.
    short_s, long_s
        The best later call on the short and on the long input.
    """

    create_s: float
    first_s: float
    short_s: float
    long_s: float


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
        Makes the callable.
    short, long
        The inputs, where the backend takes them.
    run
        Calls it on an input, and returns when the work is done, on a device too.
    clock
        Gives seconds.
    """
    began = clock()
    call = create()
    created = clock()
    run(call, short)
    first_s = clock() - created
    try:
        return Times(
            create_s=created - began,
            first_s=first_s,
            short_s=best_time(lambda: run(call, short), clock),
            long_s=best_time(lambda: run(call, long), clock),
        )
    finally:
        close_backend(call, "that is being timed")


def separate(times: Times, short_audio_s: float, long_audio_s: float) -> tuple[float, float]:
    """Set-up in seconds, and seconds per second of audio; neither is ever negative.

    Noise adds to times and never takes away from them, which is why the best are compared. Where the long
    call was still no slower than the short one, the work hardly depends on the length: the rate is then
    bounded from above by the long call alone.

    >>> separate(Times(0.5, 0.4, 0.3, 1.2), 10.0, 40.0)
    (0.6, 0.03)
    """
    rate = (times.long_s - times.short_s) / (long_audio_s - short_audio_s)
    if rate <= 0:
        rate = times.long_s / long_audio_s
    each_call_s = max(0.0, times.short_s - rate * short_audio_s)
    warm_up_s = max(0.0, times.first_s - times.short_s)
    return round(times.create_s + warm_up_s + each_call_s, 9), round(rate, 12)


def best_time(call: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """Time a call a few times, and give the least."""
    best = float("inf")
    started = clock()
    for _ in range(REPEATS):
        began = clock()
        call()
        ended = clock()
        best = min(best, ended - began)
        if ended - started > BUDGET_S:
            break
    return best
