"""A progress bar on stderr."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from allin1_core.cli.printing import say
from allin1_core.text import shown

if TYPE_CHECKING:
    from allin1_core.runtime.track import Track

#: Seconds between two lines where there is no terminal.
EVERY_S = 30.0


@contextmanager
def show_progress(
    tracks: Sequence[Track], *, enabled: bool, verbose: bool = False
) -> Iterator[Callable[[int, str, float], None] | None]:
    """Show one bar for a batch; it gives what :func:`~allin1_core.runtime.batch.run_batch` reports to.

    Where stderr is no terminal, nothing is shown, or where `verbose` a line every half minute.
    """
    import sys

    # Where nothing is drawn, what draws need not be imported.
    console = None
    if enabled and sys.stderr.isatty():
        from rich.console import Console

        console = Console(stderr=True)
    if console is None or not console.is_terminal:
        if verbose:
            with _lines(tracks) as tell_in_lines:
                yield tell_in_lines
        else:
            yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.fields[stage]:<14}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=len(tracks), stage="")
        furthest = 0.0

        def tell(index: int, stage: str, fraction: float) -> None:
            nonlocal furthest
            # The end of one song may be told after the beginning of the next.
            furthest = max(furthest, index + fraction)
            bar.update(
                task,
                completed=furthest,
                stage=stage,
                description=f"{index + 1}/{len(tracks)} {shown(tracks[index].name)}",
            )

        yield tell


@contextmanager
def _lines(tracks: Sequence[Track]) -> Iterator[Callable[[int, str, float], None]]:
    """Print how far the batch is, every half minute, whether it is told of progress or not."""
    state = ""
    ended = threading.Event()

    def tell(index: int, stage: str, fraction: float) -> None:
        nonlocal state
        name = shown(tracks[index].name)
        state = f"allin1: {index + 1}/{len(tracks)} {name}: {stage}, {fraction:.0%} of the song"

    def print_lines() -> None:
        while not ended.wait(EVERY_S):
            say(state or "allin1: reading", err=True)

    thread = threading.Thread(target=print_lines, name="allin1-lines", daemon=True)
    thread.start()
    try:
        yield tell
    finally:
        ended.set()
        thread.join()
