"""Detects side effects of code: output on stdout, and threads that do not end."""

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

#: Maximum time in seconds for threads to end.
PATIENCE_S = 5.0


@contextmanager
def printed() -> Iterator[list[str]]:
    """Collect output on stdout, of Python and of compiled code; the list is filled at the end.

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
    """Flush buffered output, so that it is attributed correctly."""
    with suppress(AttributeError, OSError, ValueError):
        sys.stdout.flush()
    # The buffers of C; on systems where this library cannot be loaded, they are not flushed.
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).fflush(None)


def threads_beside(known: Collection[threading.Thread]) -> list[threading.Thread]:
    """Return the threads that are not among `known` and do not end within :data:`PATIENCE_S`."""
    gc.collect()  # the threads of a thread pool end when it is garbage-collected
    deadline = time.monotonic() + PATIENCE_S
    for thread in threading.enumerate():
        if thread not in known:
            thread.join(max(0.0, deadline - time.monotonic()))
    return [thread for thread in threading.enumerate() if thread not in known]
