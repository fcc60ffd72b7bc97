"""A progress bar on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from allin1_core.text import shown

if TYPE_CHECKING:
    from allin1_core.runtime.track import Track


@contextmanager
def show_progress(
    tracks: Sequence[Track], *, enabled: bool
) -> Iterator[Callable[[int, str, float], None] | None]:
    """Show one bar for a batch; it gives what :func:`~allin1_core.runtime.batch.run_batch` reports to.

    Where stderr is no terminal, nothing is shown.
    """
    if not enabled:
        yield None
        return
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
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
