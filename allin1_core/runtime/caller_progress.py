"""The progress callback of a caller, whose exceptions are not failures of songs, backends or executors."""

from __future__ import annotations

import threading
from collections.abc import Callable


class CallerProgress:
    """Passes progress on to the callback of a caller, from one thread at a time.

    An exception of the callback ends the run. Each further call raises it again, so that other threads end, too. It may
    pass through code that catches exceptions: :meth:`check` raises it there.

    Parameters
    ----------
    progress
        The callback; None is not called.
    """

    def __init__(self, progress: Callable[..., object] | None) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._raised: BaseException | None = None

    def __call__(self, *arguments: object) -> None:
        """Call the callback, unless it has raised an exception before, which is raised again."""
        if self._progress is None:
            return
        with self._lock:
            self.check()
            try:
                self._progress(*arguments)
            except BaseException as error:
                self._raised = error
                raise

    @property
    def has_raised(self) -> bool:
        """Whether the callback has raised an exception."""
        return self._raised is not None

    def check(self) -> None:
        """Raise the exception that the callback has raised, if any."""
        if self._raised is not None:
            raise self._raised
