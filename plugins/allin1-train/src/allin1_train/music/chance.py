"""Named random streams: the same name in a song gives the same decisions."""

import random
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """Random streams of one song, keyed by names.

    Repeated material (a verse, a motif) uses a stream of the same name, and is therefore
    identical; variations add a number to the name.

    Parameters
    ----------
    seed
        The song's seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, *key: object) -> random.Random:
        """Return a fresh stream for the name `key`."""
        return random.Random(f"{self.seed}/{'/'.join(map(str, key))}")


def weighted(r: random.Random, weights: Mapping[T, float]) -> T:
    """Draw a key of `weights` with probability proportional to its value."""
    return r.choices(list(weights), list(weights.values()))[0]
