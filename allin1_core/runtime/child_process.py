"""What processes of this package have in common, as seen by their parent."""

from __future__ import annotations

import signal

#: Environment variables that limit the threads of libraries.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class WorkerEnded(Exception):  # noqa: N818 - it says what happened
    """A worker process ended unexpectedly; the text completes a sentence that begins with "the worker".

    Attributes
    ----------
    signal
        Number of the signal that ended it, or None.
    """

    def __init__(self, returncode: int) -> None:
        self.signal = -returncode if returncode < 0 else None
        super().__init__(
            f"ended with status {returncode}"
            if self.signal is None
            else f"was ended by {_signal_name(self.signal)}"
        )


class RemoteTraceback(Exception):  # noqa: N818 - it is the cause of an error
    """The traceback of an error in a worker, as text."""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
