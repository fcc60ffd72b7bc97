"""Printing of the commands, which never ends a run.

A terminal that cannot show a character, a full disk behind ``>``, or a reader that has exited (``| head``) loses only the
rest of the output: the analysis continues, and the exit status reports the failure at the end.

stdout is reserved for results: once plugins are loaded, everything else printed there goes to stderr, also from C code.
"""

from __future__ import annotations

import errno
import math
import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

import click

from allin1_core.text import shown

#: Exit status if the reader of the output has exited, as for a program that SIGPIPE ends.
READER_GONE = 141


class Tolerant:
    """A standard stream that never raises an error; after a failure, further output is discarded.

    Attributes
    ----------
    failure
        The error that occurred, or None.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failure: OSError | None = None
        # Characters that the encoding lacks are escaped.
        with suppress(AttributeError, OSError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]

    def write(self, text: str) -> int:
        """Write `text`, unless the stream has failed."""
        if self.failure is None:
            try:
                return self._stream.write(text)
            except OSError as error:
                self._fail(error)
        return len(text)

    def flush(self) -> None:
        """Flush the stream, unless it has failed."""
        if self.failure is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._fail(error)

    def move_to(self, stream: TextIO) -> None:
        """Write to another stream from now on."""
        self.flush()
        self._stream = stream

    def _fail(self, error: OSError) -> None:
        self.failure = error
        # Otherwise, flushing the rest of its buffer at exit would fail again.
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, self._stream.fileno())
            finally:
                os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


#: The stream for results; None as long as stdout is unchanged.
_results: TextIO | None = None

#: Function that writes above a progress bar on the terminal; None if there is none.
_through: Callable[[str], None] | None = None

_owns_process = False


def own_process() -> None:
    """Declare that this process runs only the command, so its file descriptors may be changed."""
    global _owns_process
    _owns_process = True


def reserve_stdout(ctx: click.Context) -> None:
    """Reserve stdout for :func:`say` and :func:`say_json`; everything else printed there goes to stderr.

    In a process that runs only the command, this redirects the file descriptor until exit. Elsewhere, as in
    tests, it replaces ``sys.stdout`` until the end of the command.
    """
    global _results
    own = sys.stdout
    if _results is not None or own is None:
        return
    if _owns_process and isinstance(own, Tolerant) and _is_descriptor_1(own):
        own.move_to(os.fdopen(os.dup(1), "w", encoding=own.encoding, errors="backslashreplace"))
        try:
            os.dup2(2, 1)
        except OSError:  # stderr is closed
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def restore() -> None:
        global _results
        sys.stdout, _results = own, None

    _results, sys.stdout = cast(TextIO, own), sys.stderr
    ctx.find_root().call_on_close(restore)


def _is_descriptor_1(stream: Any) -> bool:
    try:
        return bool(stream.fileno() == 1)
    except (AttributeError, OSError, ValueError):
        return False


@contextmanager
def tolerant_streams() -> Iterator[Tolerant | None]:
    """Replace stdout and stderr by tolerant streams; yields that of stdout, or None if there is none."""
    streams = sys.stdout, sys.stderr
    # A program may be started without these streams.
    out, err = (None if stream is None else Tolerant(stream) for stream in streams)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield out
    finally:
        for stream in (out, err):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = streams


def status_of(out: Tolerant | None, status: int) -> int:
    """Return the exit status of a run that ended with `status`, and report whether output was lost."""
    if out is None:
        return status
    out.flush()
    if out.failure is None:
        return status
    if out.failure.errno in (errno.EPIPE, errno.ESHUTDOWN):
        return status or READER_GONE
    from allin1_core.errors import OutputError
    from allin1_core.io.atomic import reason_of

    error = OutputError(f"Standard output cannot be written: {reason_of(out.failure)}.")
    say_error(error)
    return status or error.exit_code


def say(message: object = "", *, err: bool = False) -> None:
    """Print a message and a newline on stdout or stderr.

    Control characters except newlines and tabs are escaped (:func:`~allin1_core.text.shown`); if `message`
    is a path, these are escaped, too. Use ``shown`` for names within messages.
    """
    stream = sys.stderr if err else _results or sys.stdout
    if stream is None:
        return
    text = shown(message, keep="" if isinstance(message, os.PathLike) else "\n\t")
    if _through is not None and (err or _is_terminal(stream)):
        _through(text)
        return
    stream.write(f"{text}\n")
    stream.flush()


@contextmanager
def printing_through(write: Callable[[str], None]) -> Iterator[None]:
    """Within the block, print on the terminal through `write`, which keeps a progress bar intact."""
    global _through
    _through = write
    try:
        yield
    finally:
        _through = None


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (OSError, ValueError):
        return False


def status_of_errors(codes: Collection[int]) -> int:
    """0 without errors; the exit status of the errors if they are all of one kind, otherwise 1."""
    return min(codes) if len(codes) == 1 else int(bool(codes))


def say_error(error: object) -> None:
    """Print an error on stderr, on one line."""
    say(f"allin1: error: {shown(error)}", err=True)


def say_json(content: object, *, indent: int | None = None) -> None:
    """Print a JSON document on stdout, in ASCII; numbers that are not finite, which JSON lacks, become null."""
    import json

    stream = _results or sys.stdout
    if stream is not None:
        text = json.dumps(_finite(content), indent=indent, allow_nan=False)
        stream.write(text.replace("\x7f", "\\u007f") + "\n")
        stream.flush()


def _finite(content: Any) -> Any:
    """A copy of a JSON document in which None replaces numbers that are not finite."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
