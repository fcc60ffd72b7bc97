"""What code does besides what it is called for: prints, and threads that stay."""

from __future__ import annotations

import ctypes
import gc
import io
import os
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

#: Seconds that threads may take to end once they were told to.
PATIENCE_S = 5.0


@contextmanager
def printed() -> Iterator[list[str]]:
    """Collect what is printed on stdout, by Python and by compiled code; the list is filled at the end.

    >>> with printed() as texts:
    ...     print("loading", end="")
    >>> texts
    ['loading']
    """
    texts: list[str] = []
    own = sys.stdout
    _flush()
    with tempfile.TemporaryFile() as file:
        descriptor = os.dup(1)
        os.dup2(file.fileno(), 1)
        sys.stdout = by_python = io.StringIO()
        try:
            yield texts
        finally:
            sys.stdout = own
            _flush()
            os.dup2(descriptor, 1)
            os.close(descriptor)
            file.seek(0)
            text = by_python.getvalue() + file.read().decode("utf-8", "replace")
            texts.extend([text] if text else [])


def _flush() -> None:
    """Let nothing that was printed before or in between be counted elsewhere."""
    with suppress(AttributeError, OSError, ValueError):
        sys.stdout.flush()
    # The buffers of C; where there is no such library to ask, compiled code is looked at a little less closely.
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).fflush(None)


def threads_beside(known: Collection[threading.Thread]) -> list[threading.Thread]:
    """Give the threads that are not among `known` and do not end within :data:`PATIENCE_S`."""
    gc.collect()  # a pool whose owner is gone lets its threads end
    deadline = time.monotonic() + PATIENCE_S
    for thread in threading.enumerate():
        if thread not in known:
            thread.join(max(0.0, deadline - time.monotonic()))
    return [thread for thread in threading.enumerate() if thread not in known]
