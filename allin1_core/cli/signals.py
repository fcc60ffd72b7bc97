"""SIGTERM and SIGHUP end a run as Ctrl-C does: partial files are removed, and the exit status tells."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """The signal that interrupted a run.

    Attributes
    ----------
    received
        Number of the signal; None if there was none, or Ctrl-C.
    """

    def __init__(self) -> None:
        self.received: int | None = None

    @property
    def status(self) -> int:
        """Exit status of a run that was ended by a signal, as in shells."""
        return 128 + (self.received or signal.SIGINT)

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Interrupt the main thread, only once, so that its cleanup is not interrupted."""
        if self.received is None:
            self.received = number
            raise KeyboardInterrupt


@contextmanager
def interrupting_signals() -> Iterator[Interrupts]:
    """Let SIGTERM and SIGHUP interrupt the block, unless they are ignored (``nohup``) or handled otherwise."""
    interrupts = Interrupts()
    replaced = []
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, interrupts.interrupt)
                replaced.append(number)
    try:
        yield interrupts
    finally:
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)
