"""Parity: how close a backend promises to be to the reference of its stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from allin1_core.contracts.rules import Bound

Level = Literal["identical", "close", "event", "lossy"]

#: Rank of each level; 0 is the strongest. A bound on values and a bound on the times of events are the same promise for
#: different outputs.
RANKS: dict[Level, int] = {"identical": 0, "close": 1, "event": 1, "lossy": 2}


@dataclass(frozen=True)
class Parity:
    """A promise that the conformance kit measures.

    Attributes
    ----------
    level
        ``identical``: the same bits. ``close``: no value differs by more than `tolerance`.
        ``event``: the same events, each within `tolerance` seconds. ``lossy``: no bound is promised.
    tolerance
        Largest absolute difference (close) or seconds (event).
    """

    level: Level
    tolerance: Bound = 0.0

    @property
    def rank(self) -> int:
        """Rank of the level; 0 is the strongest."""
        return RANKS[self.level]

    def __str__(self) -> str:
        if self.level == "close":
            return f"within {self.tolerance:g}"
        if self.level == "event":
            return f"events within {self.tolerance:g} s"
        return self.level


def rank_of(promise: Parity | None) -> int:
    """Rank of a promise; None ranks like a promise without a bound."""
    return RANKS["lossy"] if promise is None else promise.rank


def promise_text(promise: Parity | None) -> str:
    """Describe a promise, or that there is none."""
    return "no reference" if promise is None else str(promise)


def is_weaker(promise: Parity | None, asked: Parity) -> bool:
    """Whether `promise` is too weak if `asked` is the weakest to accept; None, for no reference, never is.

    >>> (
    ...     is_weaker(close(1e-3), close(1e-6)),
    ...     is_weaker(IDENTICAL, close(1e-6)),
    ...     is_weaker(None, IDENTICAL),
    ... )
    (True, False, False)
    """
    if promise is None:
        return False
    is_looser = promise.level == asked.level and promise.tolerance > asked.tolerance
    return promise.rank > asked.rank or is_looser


IDENTICAL = Parity("identical")
LOSSY = Parity("lossy")


def close(max_abs: float) -> Parity:
    """Promise that no value differs from the reference by more than `max_abs`."""
    return Parity("close", max_abs)


def event(seconds: float) -> Parity:
    """Promise the same events as the reference, each within `seconds`."""
    return Parity("event", seconds)
