"""Processes that read files for a batch, so that decoding does not delay the thread that drives an accelerator.

That thread starts thousands of kernels per song, each time through Python. Threads that decode files make it wait: for the
GIL, and for changes of the address space, which they share. A process decodes a file into memory without a name (``memfd``),
whose descriptor it sends over a socket, so that nothing is copied.

The system must be Linux; elsewhere, the threads read the files themselves, as they do if no process can be started.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allin1_core.contracts.audio import Mix, Stems
from allin1_core.errors import Allin1Error, AudioError, in_full
from allin1_core.io.decoding.loaders import may_have_loader
from allin1_core.io.mix import MixFile
from allin1_core.io.stems import StemFiles
from allin1_core.runtime.reading import FilesRead, read_whole
from allin1_core.runtime.worker_process import THREAD_VARIABLES, RemoteTraceback, WorkerEnded

log = logging.getLogger(__name__)

#: The program. It finds modules in the same places as its parent.
_PROGRAM = (
    "import pickle, sys; sys.path[:] = pickle.loads(bytes.fromhex(sys.argv[1]));"
    " from allin1_core.runtime.reading_processes import main; main()"
)

#: Size in bytes of the length before a message.
_HEAD = 8

#: Bytes from one read of memory to the next, to have the system map all of it: its smallest page.
_PAGE = 4096


class ReadingProcesses:
    """Reads files in processes, once it has been told to.

    It has as many processes as threads read at the same time, each of which is started when it is first needed.
    """

    def __init__(self) -> None:
        self._is_used = self._is_stopped = False
        self._idle: list[_Process] = []
        self._all: list[_Process] = []
        self._lock = threading.Lock()

    def use(self) -> None:
        """Read in processes from now on, if this system supports it."""
        self._is_used = not self._is_stopped and _is_supported()

    def reading(self) -> Reading:
        """Create a reader for the files of one track."""
        return Reading(self)

    def read(self, file: MixFile | StemFiles) -> tuple[Mix | Stems, FilesRead, float]:
        """Read a song or its stems; also returns the CPU time in seconds that a process has spent on it.

        Raises
        ------
        InputError
            A file cannot be read, or a decoder crashed on it.
        """
        while (process := self._process(file)) is not None:
            try:
                found = process.read(file)
            except WorkerEnded as ended:
                self._forget(process)
                if process.is_ready or self._is_stopped:
                    raise _crashed(file, ended) from ended
                self._give_up(f"a process {ended}")
            except BaseException:
                self._put_back(process)
                raise
            else:
                self._put_back(process)
                return found
        return (*read_whole(file), 0.0)

    def stop(self) -> None:
        """End the processes, whatever they are doing."""
        with self._lock:
            self._is_used, self._is_stopped = False, True
            processes, self._all = self._all, []
        for process in processes:
            process.stop()

    def _process(self, file: MixFile | StemFiles) -> _Process | None:
        """A process that may read `file`; None if this thread is to read it."""
        if not self._is_used or may_have_loader(_paths(file)):  # processes do not have the plugins
            return None
        with self._lock:
            if self._idle:
                return self._idle.pop()
        try:
            process = _Process()
        except OSError as error:
            self._give_up(in_full(error))
            return None
        with self._lock:
            if not self._is_stopped:
                self._all.append(process)
                return process
        process.stop()
        return None

    def _put_back(self, process: _Process) -> None:
        with self._lock:
            self._idle.append(process)

    def _forget(self, process: _Process) -> None:
        with self._lock, contextlib.suppress(ValueError):
            self._all.remove(process)

    def _give_up(self, reason: str) -> None:
        self._is_used = False
        log.info("Files are read without processes of their own: %s.", reason)


class Reading:
    """Reads the files of one track, which may be called like :func:`~allin1_core.runtime.reading.read_whole`.

    Attributes
    ----------
    cpu_s
        CPU time in seconds that processes have spent.
    """

    def __init__(self, processes: ReadingProcesses) -> None:
        self.cpu_s = 0.0
        self._processes = processes

    def __call__(self, file: MixFile | StemFiles, /) -> tuple[Mix | Stems, FilesRead]:
        """Read a song or its stems."""
        record, files, cpu_s = self._processes.read(file)
        self.cpu_s += cpu_s
        return record, files


def _is_supported() -> bool:
    return hasattr(os, "memfd_create") and hasattr(socket, "send_fds") and bool(sys.executable)


def _paths(file: MixFile | StemFiles) -> Sequence[Any]:
    return [file.path] if isinstance(file, MixFile) else file.paths


def _crashed(file: MixFile | StemFiles, ended: WorkerEnded) -> AudioError:
    remedy = "If it can be played, convert it to WAV or FLAC."
    if ended.signal == signal.SIGKILL:
        remedy = "If memory was short, close other programs."
    path = file.path if isinstance(file, MixFile) else file.source
    message = f"cannot be read: the process that decoded it {ended}."
    return AudioError(message, remedy=remedy, path=path)


class _Process:
    """A process, as seen by its parent; used by one thread at a time.

    Attributes
    ----------
    is_ready
        Whether it has started successfully.

    Raises
    ------
    OSError
        It cannot be started.
    """

    def __init__(self) -> None:
        self.is_ready = False
        self._socket, other = socket.socketpair()
        with other:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _PROGRAM, pickle.dumps(sys.path).hex()],
                    stdin=other.fileno(),
                    stdout=subprocess.DEVNULL,
                    env={**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1")},
                )
            except BaseException:
                self._socket.close()
                raise

    def read(self, file: MixFile | StemFiles) -> tuple[Mix | Stems, FilesRead, float]:
        """Let it read files.

        Raises
        ------
        InputError
            A file cannot be read.
        WorkerEnded
            The process has ended.
        """
        try:
            if not self.is_ready:
                _receive(self._socket)
                self.is_ready = True
            _send(self._socket, file)
            (kind, *content), descriptor = _receive(self._socket)
        except (EOFError, OSError) as error:
            raise self._ended() from error
        if kind == "raised":
            failure, text = content
            raise failure from RemoteTraceback(text)
        record, shape, files, cpu_s = content
        assert descriptor is not None
        return record(_mapped(descriptor, shape)), files, cpu_s

    def stop(self) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        self._socket.close()

    def _ended(self) -> WorkerEnded:
        self._socket.close()
        try:
            self._process.wait(1.0)  # it may still be exiting
        except subprocess.TimeoutExpired:
            self._process.kill()
        return WorkerEnded(self._process.wait())


def _mapped(descriptor: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The samples in memory, which is released with the array; closes `descriptor`."""
    try:
        memory = mmap.mmap(descriptor, 4 * int(np.prod(shape)))
    finally:
        os.close(descriptor)
    # The system maps each page when it is first read: now, instead of in the thread that computes.
    np.frombuffer(memory, np.uint8)[::_PAGE].max()
    return np.frombuffer(memory, np.float32).reshape(shape)


def _send(connection: socket.socket, message: Any, descriptors: Sequence[int] = ()) -> None:
    content = pickle.dumps(message)
    head = len(content).to_bytes(_HEAD, "little")
    socket.send_fds(connection, [head], descriptors)
    connection.sendall(content)


def _receive(connection: socket.socket) -> tuple[Any, int | None]:
    """Receive a message, and a file descriptor if it has one.

    Raises
    ------
    EOFError
        The other end has closed the connection.
    """
    head, descriptors, _, _ = socket.recv_fds(connection, _HEAD, 1)
    head += _exactly(connection, _HEAD - len(head))
    message = pickle.loads(_exactly(connection, int.from_bytes(head, "little")))
    return message, descriptors[0] if descriptors else None


def _exactly(connection: socket.socket, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        part = connection.recv(size - len(content))
        if not part:
            raise EOFError
        content += part
    return bytes(content)


# The program of the process.


def main() -> None:
    """Read files on request, until the parent closes the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    os.dup2(2, 1)  # what libraries print
    connection = socket.socket(fileno=os.dup(0))
    with contextlib.suppress(EOFError, OSError):
        _send(connection, "ready")
        while True:
            _answer(connection, _receive(connection)[0])


def _answer(connection: socket.socket, file: MixFile | StemFiles) -> None:
    began = time.process_time()
    try:
        record, files = read_whole(file)
        descriptor = _in_memory(record.samples)
    except Exception as error:
        _send(connection, ("raised", _sendable(error), traceback.format_exc()))
        return
    try:
        cpu_s = time.process_time() - began
        message = ("read", type(record), record.samples.shape, files, cpu_s)
        _send(connection, message, [descriptor])
    finally:
        os.close(descriptor)


def _in_memory(samples: NDArray[np.float32]) -> int:
    """Descriptor of memory with a copy of `samples`."""
    descriptor = os.memfd_create("allin1-samples")
    try:
        rest = memoryview(np.ascontiguousarray(samples)).cast("B")  # type: ignore[arg-type]
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError as error:
        os.close(descriptor)
        raise MemoryError(in_full(error)) from error
    return descriptor


def _sendable(error: Exception) -> Exception:
    """The same exception if it is one of this project, or can be pickled."""
    if isinstance(error, Allin1Error):
        return error
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(in_full(error))
    return error
