"""How far a batch is, and how long it still takes: a bar on stderr, or lines where that is no terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from allin1_core.cli.printing import say, saying_through
from allin1_core.text import shown

if TYPE_CHECKING:
    from allin1_core.runtime.track import Track

#: Seconds between two lines where there is no terminal.
EVERY_S = 30.0

#: What is known so early is no estimate: seconds, and part of a song.
_EARLY_S, _EARLY_PART = 3.0, 0.02


class Progress:
    """Progress of a batch: call it with what :func:`~allin1_core.runtime.batch.run_batch` reports.

    Parameters
    ----------
    tracks
        The batch.
    clock
        Gives seconds.

    Attributes
    ----------
    stage, name
        What was told of last.
    fraction
        How far that song is.
    number
        Its place in the batch, from 1.
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
        """Take note of how far a song is."""
        if not self.number:
            self._began = self._clock()
        self._told = self._clock()
        before = self._active.get(index, 0.0)
        if index >= self._given:
            self._active[index] = max(before, fraction)
            self._computed += max(0.0, fraction - before)
        self.stage, self.fraction, self.number = stage, fraction, index + 1
        self.name = shown(self._tracks[index].name)
        # The end of one song may be told after the beginning of the next.
        self._furthest = max(self._furthest, index + fraction)
        self.show()

    def next_is_given(self) -> None:
        """Take note that the next song is done, or was up to date."""
        if self._given in self._active:
            self._told = self._clock()
            self._computed += 1 - self._active.pop(self._given)
        self._given += 1
        self._furthest = max(self._furthest, self._given)
        self.show()

    def show(self) -> None:
        """Show it, where there is something to show it on."""

    @property
    def done(self) -> float:
        """Songs that are behind the furthest place."""
        return self._furthest

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest is going to take, if nothing of it is up to date; None as long as nobody can tell."""
        elapsed = self._told - self._began
        if self._computed < _EARLY_PART or elapsed < _EARLY_S:
            return None
        left = len(self._tracks) - self._given - sum(self._active.values())
        # Between two reports time goes on.
        return max(0.0, left * elapsed / self._computed - (self._clock() - self._told))


@contextmanager
def show_progress(
    tracks: Sequence[Track], *, enabled: bool, verbose: bool = False
) -> Iterator[Progress]:
    """Show one bar for a batch; it is gone at the end, and what is said meanwhile stands above it.

    Where stderr is no terminal, nothing is shown, or where `verbose` a line every half minute.
    """
    import sys

    # Where nothing is drawn, what draws need not be imported.
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
    with bar, saying_through(lambda text: console.print(Text(text), soft_wrap=True)):
        yield progress


def duration(seconds: float) -> str:
    """Give a length of time as people say it.

    >>> duration(8.4), duration(100), duration(3700)
    ('8 s', '2 min', '1 h 02 min')
    """
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


@contextmanager
def _lines(tracks: Sequence[Track]) -> Iterator[Progress]:
    """Print how far the batch is, every half minute, whether it is told of progress or not."""
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
