"""Tracks that a batch gets one by one while it runs, each when there is time to read it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from allin1_core.runtime.track import Track


class EndOfTracks(Exception):  # noqa: N818 - it is no error
    """There is no further track."""


class Feed:
    """The tracks of a batch that come while it runs: ``feed[index]`` requests a track, and waits for it.

    Each track must be requested once. The first one comes without a request. There may be fewer than ``len(feed)``.

    Parameters
    ----------
    request
        Called for each further track, by any thread. The answer is :meth:`put` or :meth:`end`, at any time and by any
        thread.
    most
        Number of tracks that come at most.
    """

    def __init__(self, request: Callable[[], object], most: int) -> None:
        self._request = request
        self._most = most
        self._waiting: dict[int, Track] = {}
        self._is_ended = False
        self._changed = threading.Condition()
        #: Number of tracks that have come.
        self.count = 0

    def __len__(self) -> int:
        return self._most

    def put(self, track: Track) -> None:
        """Add a track."""
        with self._changed:
            self._waiting[self.count] = track
            self.count += 1
            self._changed.notify_all()

    def end(self) -> None:
        """Add no further track."""
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()

    def __getitem__(self, index: int) -> Track:
        """Wait for a track.

        Raises
        ------
        EndOfTracks
            There is no further track.
        """
        if index > 0:
            self._request()
        with self._changed:
            self._changed.wait_for(lambda: index in self._waiting or self._is_ended)
            if index not in self._waiting:
                raise EndOfTracks
            return self._waiting.pop(index)
