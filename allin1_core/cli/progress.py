"""Progress of a batch and the time remaining: a bar on stderr, or lines if it is not a terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from allin1_core.cli.printing import printing_through, say
from allin1_core.text import shown

if TYPE_CHECKING:
    from allin1_core.runtime.track import Track

#: Interval in seconds between two lines without a terminal.
EVERY_S = 30.0

#: Elapsed seconds and fraction of a song before which there is no estimate.
_EARLY_S, _EARLY_PART = 3.0, 0.02


class Progress:
    """Progress of a batch: the callback of :func:`~allin1_core.runtime.batch.run_batch`.

    Parameters
    ----------
    tracks
        The batch.
    clock
        Returns the current time in seconds.

    Attributes
    ----------
    stage, name
        Stage and name of the song that was reported last.
    fraction
        Progress of that song, from 0 to 1.
    number
        Its position in the batch, from 1; 0 before the first report.
    """

    def __init__(
        self, tracks: Sequence[Track], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tracks = tracks
        self._clock = clock
        self._began = self._told = clock()
        self._active: dict[int, float] = {}
        self._given = 0
        self._computed = 0.0
        self._furthest = 0.0
        self.stage = self.name = ""
        self.fraction = 0.0
        self.number = 0

    def __call__(self, index: int, stage: str, fraction: float) -> None:
        """Record the progress of a song."""
        if not self.number:
            self._began = self._clock()
        self._told = self._clock()
        before = self._active.get(index, 0.0)
        if index >= self._given:
            self._active[index] = max(before, fraction)
            self._computed += max(0.0, fraction - before)
        self.stage, self.fraction, self.number = stage, fraction, index + 1
        self.name = shown(self._tracks[index].name)
        # The end of a song may be reported after the start of the next one.
        self._furthest = max(self._furthest, index + fraction)
        self.show()

    def next_is_given(self) -> None:
        """Record that the next song is finished, or was up to date."""
        if self._given in self._active:
            self._told = self._clock()
            self._computed += 1 - self._active.pop(self._given)
        self._given += 1
        self._furthest = max(self._furthest, self._given)
        self.show()

    def show(self) -> None:
        """Show the progress; does nothing unless a subclass overrides it."""

    @property
    def done(self) -> float:
        """Number of songs, with fractions, up to the furthest position reached."""
        return self._furthest

    @property
    def left_s(self) -> float | None:
        """Estimated seconds for the rest, if none of it is up to date; None if it is too early to estimate."""
        elapsed = self._told - self._began
        if self._computed < _EARLY_PART or elapsed < _EARLY_S:
            return None
        left = len(self._tracks) - self._given - sum(self._active.values())
        # Count down between two reports.
        return max(0.0, left * elapsed / self._computed - (self._clock() - self._told))


@contextmanager
def show_progress(
    tracks: Sequence[Track], *, enabled: bool, verbose: bool = False
) -> Iterator[Progress]:
    """Show a bar for a batch, which is removed at the end; messages are printed above it.

    If stderr is not a terminal, nothing is shown, or if `verbose`, a line every half minute.
    """
    import sys

    # Do not import rich unless a bar is drawn.
    console = None
    if enabled and sys.stderr is not None and sys.stderr.isatty():
        from rich.console import Console

        console = Console(stderr=True)
    if console is None or not console.is_terminal:
        if verbose:
            with _lines(tracks) as progress:
                yield progress
        else:
            yield Progress(tracks)
        return
    from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar
    from rich.table import Column
    from rich.text import Text

    class LeftColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            seconds = progress.left_s
            return Text("" if seconds is None else f"{duration(seconds)} left")

    name = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    columns = (
        TextColumn("{task.fields[stage]:<13}"),
        BarColumn(20),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        LeftColumn(),
        TextColumn("{task.description}", markup=False, table_column=name),
    )
    bar = Bar(*columns, console=console, transient=True, expand=True)

    class OnBar(Progress):
        def show(self) -> None:
            bar.update(
                task,
                completed=self.done,
                stage=self.stage,
                description=f"{self.number}/{len(tracks)} {self.name}" if self.number else "",
            )

    progress = OnBar(tracks)
    task = bar.add_task("", total=len(tracks), stage="")
    with bar, printing_through(lambda text: console.print(Text(text), soft_wrap=True)):
        yield progress


def duration(seconds: float) -> str:
    """Format a duration for people.

    >>> duration(8.4), duration(100), duration(3700)
    ('8 s', '2 min', '1 h 02 min')
    """
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


@contextmanager
def _lines(tracks: Sequence[Track]) -> Iterator[Progress]:
    """Print the progress of the batch every half minute, even if nothing new was reported."""
    progress, ended = Progress(tracks), threading.Event()

    def line() -> str:
        if not progress.number:
            return "allin1: reading"
        seconds = progress.left_s
        left = "" if seconds is None else f", about {duration(seconds)} left"
        return (
            f"allin1: {progress.number}/{len(tracks)} {progress.name}: {progress.stage},"
            f" {progress.fraction:.0%} of the song{left}"
        )

    def print_lines() -> None:
        while not ended.wait(EVERY_S):
            say(line(), err=True)

    thread = threading.Thread(target=print_lines, name="allin1-lines", daemon=True)
    thread.start()
    try:
        yield progress
    finally:
        ended.set()
        thread.join()
