"""Songs that no worker has, and how often each has taken its worker with it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

#: A song that has terminated its worker so often is not tried again.
MOST_DEATHS = 3


class Backlog:
    """The songs of a batch, by number, in order; those that come back are next.

    A worker may have died because of any song of its task. These songs are therefore handed out one by one, so that each
    can be blamed for itself only.

    Parameters
    ----------
    songs
        Number of songs.
    """

    def __init__(self, songs: int) -> None:
        self._songs = songs
        self._next = 0
        self._returned: deque[int] = deque()
        self._deaths: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._returned) + self._songs - self._next

    def take(self, most: int) -> list[int]:
        """Remove the next songs, at most `most`: one if workers have died with it."""
        if not self._returned:
            first, self._next = self._next, min(self._next + most, self._songs)
            return list(range(first, self._next))
        taken = [self._returned.popleft()]
        if self._deaths[taken[0]]:
            return taken
        while self._returned and len(taken) < most and not self._deaths[self._returned[0]]:
            taken.append(self._returned.popleft())
        return taken

    def put_back(self, songs: Sequence[int]) -> None:
        """Add songs that were not begun, or whose outcomes were lost."""
        self._returned.extendleft(reversed(songs))

    def blame(self, songs: Sequence[int]) -> list[int]:
        """Add songs whose worker has died, and return those that are given up instead."""
        self._deaths.update(songs)
        given_up = [song for song in songs if self._deaths[song] >= MOST_DEATHS]
        self.put_back([song for song in songs if self._deaths[song] < MOST_DEATHS])
        return given_up
