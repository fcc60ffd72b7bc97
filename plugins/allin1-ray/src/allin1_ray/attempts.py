"""How often songs took their worker with them.

A worker says which songs it takes and, once they are done, that it releases them. Songs that are taken while they are
still held had a worker that died.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

#: A song that has ended its worker so often is not tried again.
MOST_DEATHS = 3


class Attempts:
    """Runs as an actor, which all workers call. One that is restarted has forgotten everything, which costs tries alone."""

    def __init__(self) -> None:
        self._held: set[int] = set()
        self._deaths: Counter[int] = Counter()

    def take(self, songs: Iterable[int]) -> list[int]:
        """Hold `songs`, and tell for each how many workers have died while they held it."""
        songs = list(songs)
        self._deaths.update(song for song in songs if song in self._held)
        self._held.update(songs)
        return [self._deaths[song] for song in songs]

    def release(self, songs: Iterable[int]) -> None:
        """These are done, or were not begun."""
        self._held.difference_update(songs)
