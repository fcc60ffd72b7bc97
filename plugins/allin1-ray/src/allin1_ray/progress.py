"""How far a batch is, how fast it goes, and when it will end."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from allin1_core.runtime.batch import Outcome

#: Seconds between two samples of how many songs are finished.
_SAMPLE_S = 5.0


class Progress:
    """Counts outcomes.

    Attributes
    ----------
    total
        Songs of the batch.
    counts
        Songs by status: ``done``, ``skipped``, ``kept``, ``failed``.

    Parameters
    ----------
    total
        Songs of the batch.
    clock
        Gives seconds.
    """

    def __init__(self, total: int, clock: Callable[[], float]) -> None:
        self.total = total
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._began = clock()
        # When how many were finished, over the last minutes: what is skipped goes faster than what is analysed.
        self._samples = deque([(self._began, 0)], maxlen=60)

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self.counts[outcome.status] += 1
        now = self._clock()
        if now - self._samples[-1][0] >= _SAMPLE_S:
            self._samples.append((now, self.finished))

    @property
    def finished(self) -> int:
        """Songs that have an outcome."""
        return sum(self.counts.values())

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self._clock() - self._began

    @property
    def songs_per_s(self) -> float:
        """Songs a second, over the last minutes."""
        since, finished = self._samples[0]
        return (self.finished - finished) / max(self._clock() - since, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """Until the end, at this rate; None where that is not known."""
        rate = self.songs_per_s
        return (self.total - self.finished) / rate if rate else None

    @property
    def short(self) -> str:
        """Rate and time left, as ``12.3/s 0:42:10``."""
        left = self.seconds_left
        return "" if left is None else f"{self.songs_per_s:.3g}/s {_clock_time(left)}"

    def __str__(self) -> str:
        left = self.seconds_left
        words = [f"{self.finished} of {self.total} songs"]
        if self.counts["failed"]:
            words.append(f"{self.counts['failed']} failed")
        if left is not None:
            words += [f"{self.songs_per_s:.3g} songs/s", f"{_clock_time(left)} left"]
        return ", ".join(words)


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
