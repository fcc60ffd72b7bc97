"""Interrupts by signals: SIGTERM and SIGHUP end a run as Ctrl-C does, with partial files removed, and none is lost."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

#: Seconds after which an interrupt that was lost is raised again.
_RETRY_S = 0.05


class Interrupts:
    """The signal that interrupted a run.

    Attributes
    ----------
    received
        Number of the signal; None if there was none, or Ctrl-C.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._retry: threading.Timer | None = None

    @property
    def status(self) -> int:
        """Exit status of a run that was ended by a signal, as in shells."""
        return 128 + (self.received or signal.SIGINT)

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Interrupt the main thread, only once, so that its cleanup is not interrupted."""
        if self.received is None:
            self.received = number
            raise KeyboardInterrupt

    def raise_later(self) -> None:
        """Raise an interrupt again that was raised where Python discards exceptions."""
        self._retry = threading.Timer(_RETRY_S, self._raise, [self.received])
        self._retry.daemon = True
        self._retry.start()

    def _raise(self, lost: int | None) -> None:
        self._retry = None
        if self.received == lost:
            self.received = None
            number, main = signal.Signals(lost or signal.SIGINT), threading.main_thread()
            if hasattr(signal, "pthread_kill") and main.ident is not None:
                # Unlike the other, it also ends what the main thread waits for.
                signal.pthread_kill(main.ident, number)
            else:
                _thread.interrupt_main(number)

    def settle(self) -> None:
        """Raise an interrupt that is still to be raised again.

        Raises
        ------
        KeyboardInterrupt
            There is one.
        """
        retry = self._retry
        if retry is not None:
            retry.cancel()
            raise KeyboardInterrupt


@contextmanager
def interrupting_signals() -> Iterator[Interrupts]:
    """Let SIGTERM and SIGHUP interrupt the block, unless they are ignored (``nohup``) or handled otherwise.

    A signal handler runs wherever the main thread is. In a callback from C, as libsndfile's, a destructor or the callback
    of a weak reference, Python discards the exception that it raises, and the run would go on: it is raised again.
    """
    interrupts = Interrupts()
    replaced = []
    before = sys.unraisablehook

    def unraisable(problem: Any) -> None:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and issubclass(problem.exc_type, KeyboardInterrupt):
            interrupts.raise_later()
        else:
            before(problem)

    if threading.current_thread() is threading.main_thread():
        sys.unraisablehook = unraisable
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, interrupts.interrupt)
                replaced.append(number)
    try:
        yield interrupts
    finally:
        if sys.unraisablehook is unraisable:
            sys.unraisablehook = before
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)
