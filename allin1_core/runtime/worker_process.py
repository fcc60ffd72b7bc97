"""A worker process: its program, and its counterpart in the parent.

They exchange pickles over the worker's standard input and output. What libraries print in the worker goes to stderr,
and its log records are handled in the parent.
"""

from __future__ import annotations

import _thread
import logging
import logging.handlers
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from allin1_core.errors import Allin1Error
from allin1_core.runtime.child_process import THREAD_VARIABLES, RemoteTraceback, WorkerEnded

if TYPE_CHECKING:
    from allin1_core.runtime.batch import Outcome
    from allin1_core.runtime.track import Track

__all__ = [
    "Progress",
    "RemoteTraceback",
    "Requested",
    "SessionRecipe",
    "WorkerEnded",
    "WorkerProcess",
    "main",
]

#: Seconds that a worker has for cleaning up when it is stopped.
_GRACE_S = 0.5

#: The program. It finds modules in the same places as its parent.
_PROGRAM = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer);"
    " from allin1_core.runtime.worker_process import main; main()"
)


@dataclass(frozen=True)
class SessionRecipe:
    """How a worker creates its session. It can be pickled.

    Attributes
    ----------
    model
        As for :class:`~allin1_core.runtime.session.Session`.
    options
        Options of the session.
    block, strict
        As for :func:`~allin1_core.plugins.loading.load_plugins`.
    """

    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    block: tuple[str, ...] = ()
    strict: bool | None = None


@dataclass(frozen=True)
class Progress:
    """The progress of a track, of which `number` were given to the worker before it."""

    number: int
    stage: str
    fraction: float


class Requested:
    """A worker has time to read one more track."""


class WorkerProcess:
    """A worker that runs one batch, used by one thread of its parent: :meth:`open`, then :meth:`give` and :meth:`receive`.

    The first track is given without a request, and each further one after a request, or when no other is left. Outcomes
    come in the order of the tracks. After :meth:`close`, the process ends by itself.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()
        self._is_stopped = False

    def open(self, recipe: SessionRecipe, options: Mapping[str, Any], most: int) -> None:
        """Start the process, and let it create its session and begin a batch of at most `most` tracks.

        Raises
        ------
        Allin1Error
            An error of the session.
        WorkerEnded
            The process has ended.
        """
        threads = str(recipe.options.get("threads") or 1)
        environment = {**dict.fromkeys(THREAD_VARIABLES, threads), **os.environ}
        with self._starting:
            if self._is_stopped:
                raise WorkerEnded(-signal.SIGTERM)
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
            )
        self._send(sys.path)
        self._send((recipe, logging.getLogger("allin1_core").getEffectiveLevel()))
        self._send((dict(options), most))
        self._message()

    def give(self, track: Track) -> None:
        """Hand a track to the worker.

        Raises
        ------
        WorkerEnded
            The process has ended.
        """
        self._send(track)

    def receive(self) -> Outcome | Progress | Requested:
        """Wait for what the worker reports next.

        Raises
        ------
        Allin1Error
            An error that ends the batch.
        WorkerEnded
            The process has ended.
        """
        kind, content = self._message()
        if kind == "request":
            return Requested()
        if kind == "progress":
            return Progress(*content)
        outcome: Outcome
        outcome, text = content
        if text and outcome.error is not None:
            outcome.error.__cause__ = RemoteTraceback(text)
        return outcome

    def close(self) -> None:
        """Let the process end: there are no more tracks."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        with suppress(OSError, ValueError):
            process.stdin.close()

    @staticmethod
    def stop_all(workers: Iterable[WorkerProcess]) -> None:
        """Terminate the processes, whatever they are doing, within about a second."""
        processes = [p for worker in workers if (p := worker._stopped()) is not None]
        for process in processes:
            with suppress(OSError):
                process.terminate()
        deadline = time.monotonic() + _GRACE_S
        for process in processes:
            _release(process, max(0.0, deadline - time.monotonic()))

    def _stopped(self) -> subprocess.Popen[bytes] | None:
        with self._starting:
            self._is_stopped = True
            return self._process

    def _send(self, message: Any) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        content = pickle.dumps(message)
        try:
            process.stdin.write(content)
            process.stdin.flush()
        except (OSError, ValueError) as error:
            raise self._ended(process) from error

    def _message(self) -> tuple[str, Any]:
        """The next message; log records are handled here, and errors raised."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        while True:
            try:
                kind, content = pickle.load(process.stdout)
            except (EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
                raise self._ended(process) from error
            if kind == "raised":
                failure, text = content
                raise failure from RemoteTraceback(text)
            if kind != "log":
                return kind, content
            logger = logging.getLogger(content.name)
            if logger.isEnabledFor(content.levelno):
                logger.handle(content)

    def _ended(self, process: subprocess.Popen[bytes]) -> WorkerEnded:
        # It may still be exiting, or may only have closed its output.
        _release(process, _GRACE_S)
        return WorkerEnded(process.returncode)


def _release(process: subprocess.Popen[bytes], grace_s: float) -> None:
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.close()


# The program of the worker.


class _Channel:
    """Sends messages to the parent, from any thread."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, kind: str, content: Any) -> None:
        message = pickle.dumps((kind, content))
        with self._lock:
            self._stream.write(message)
            self._stream.flush()


class _ToParent(logging.handlers.QueueHandler):
    def __init__(self, channel: _Channel) -> None:
        super().__init__(queue.Queue())
        self._channel = channel

    def enqueue(self, record: logging.LogRecord) -> None:
        self._channel.send("log", record)


def main() -> None:
    """Run as a worker: create a session, and analyse tracks until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    signal.signal(signal.SIGTERM, _interrupt)
    status = 0
    try:
        _work()
    except KeyboardInterrupt:
        status = 128 + signal.SIGTERM
    sys.stderr.flush()
    # The thread that receives may hold the lock of stdin, for which Python would exit with a fatal error.
    os._exit(status)


def _work() -> None:
    messages_in = sys.stdin.buffer
    channel = _Channel(_reserved_stdout())
    from allin1_core.plugins.loading import load_plugins
    from allin1_core.runtime.batch import run_batch
    from allin1_core.runtime.feed import Feed
    from allin1_core.runtime.session import Session

    recipe, level = pickle.load(messages_in)
    options, most = pickle.load(messages_in)
    logger = logging.getLogger()
    logger.handlers = [_ToParent(channel)]
    logger.setLevel(level)
    feed, finished = Feed(lambda: channel.send("request", None), most), 0

    def receive() -> None:
        """Take tracks until the pipe is closed; if the parent still waits for outcomes, it has exited."""
        try:
            with suppress(EOFError, OSError, pickle.UnpicklingError):
                while True:
                    feed.put(pickle.load(messages_in))
        finally:
            feed.end()
        if finished < feed.count:
            _interrupt_main_thread()

    def tell(number: int, stage: str, fraction: float) -> None:
        channel.send("progress", (number, stage, fraction))

    try:
        plugins = load_plugins(block=recipe.block, strict=recipe.strict)
        session = Session(recipe.model, plugins=plugins, **recipe.options)
    except Exception as error:
        channel.send("raised", (error, traceback.format_exc()))
        return
    with session:
        channel.send("ready", None)
        threading.Thread(target=receive, daemon=True).start()
        try:
            for outcome in run_batch(session, feed, progress=tell, **options):
                error_text = ""
                if outcome.error is not None:
                    error_text = "".join(traceback.format_exception(outcome.error))
                finished += 1
                channel.send("done", (outcome, error_text))
        except Allin1Error as error:
            channel.send("raised", (error, traceback.format_exc()))


def _interrupt_main_thread() -> None:
    if hasattr(signal, "pthread_kill"):
        # This also interrupts a thread that is waiting.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    else:
        _thread.interrupt_main(signal.SIGTERM)


def _interrupt(number: int, frame: Any) -> None:
    # Like Ctrl-C: SystemExit would count as a failure of a plugin.
    raise KeyboardInterrupt


def _reserved_stdout() -> IO[bytes]:
    """Reserve standard output for messages; other output, including that of C code, goes to stderr."""
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return stream
