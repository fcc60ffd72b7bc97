"""What the commands print, in a way that ends no run.

A terminal that cannot show a character, a full disk behind ``>``, or a reader that has gone (``| head``) costs the rest of
the output, and not the analysis: that goes on, and the exit status tells at the end.

stdout belongs to results: once plugins are loaded, whatever else is printed there goes to stderr, from C too.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

import click

from allin1_core.text import shown

#: Exit status where the reader of the output has gone, as of a program that SIGPIPE ends.
READER_GONE = 141


class Tolerant:
    """A standard stream that takes everything; once it has failed, what it takes is lost.

    Attributes
    ----------
    failure
        Why it failed; None where it did not.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failure: OSError | None = None
        # Whatever its encoding lacks is escaped.
        with suppress(AttributeError, OSError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]

    def write(self, text: str) -> int:
        """Write, if that is still possible."""
        if self.failure is None:
            try:
                return self._stream.write(text)
            except OSError as error:
                self._fail(error)
        return len(text)

    def flush(self) -> None:
        """Pass on what was written, if that is still possible."""
        if self.failure is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._fail(error)

    def move_to(self, stream: TextIO) -> None:
        """Go on with another stream."""
        self.flush()
        self._stream = stream

    def _fail(self, error: OSError) -> None:
        self.failure = error
        # What is still in its buffer would fail again when the program ends.
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, self._stream.fileno())
            finally:
                os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


#: Where results are printed; None where stdout is still what it was.
_results: TextIO | None = None

#: Writes on the terminal where something is drawn there; None where nothing is.
_through: Callable[[str], None] | None = None

_owns_process = False


def own_process() -> None:
    """Say that this process is the command's alone, so that its file descriptors may be changed."""
    global _owns_process
    _owns_process = True


def reserve_stdout(ctx: click.Context) -> None:
    """Leave stdout to :func:`say` and :func:`say_json` from now on; what else is printed there goes to stderr.

    In a process of its own this holds for the file descriptor, up to the end. Elsewhere, as in tests, for
    ``sys.stdout``, up to the end of the command.
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
    """Put tolerant streams in the place of stdout and stderr; gives that of stdout, if there is one."""
    streams = sys.stdout, sys.stderr
    # A program may be started without them.
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
    """Give the exit status of a run that would have ended with `status`, and tell where its output was lost."""
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

    Control characters but newlines are escaped (:func:`~allin1_core.text.shown`), and newlines too where
    `message` is a path: put names into texts by ``shown``.
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
def saying_through(write: Callable[[str], None]) -> Iterator[None]:
    """Let what is said on the terminal be written by `write` in the block, which keeps something drawn there."""
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
    """0 without errors; the exit status of the errors where they are of one kind, else 1."""
    return min(codes) if len(codes) == 1 else int(bool(codes))


def say_error(error: object) -> None:
    """Print an error on stderr, in one line."""
    say(f"allin1: error: {shown(error)}", err=True)


def say_json(content: object, *, indent: int | None = None) -> None:
    """Print a JSON document on stdout, in ASCII."""
    import json

    stream = _results or sys.stdout
    if stream is not None:
        stream.write(json.dumps(content, indent=indent).replace("\x7f", "\\u007f") + "\n")
        stream.flush()
