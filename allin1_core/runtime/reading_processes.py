"""Processes that read files for a batch, so that decoding does not delay the thread that drives an accelerator.

That thread starts hundreds of kernels per song, each time through Python. Threads that decode files make it wait: for the
GIL, and for changes of the address space, which they share. So processes decode them, into memory without a name
(``memfd``), whose descriptors they send over sockets. Memory is used again when the samples in it are not needed any more:
to map it, page by page, takes longer than to fill it.

The system must be Linux; elsewhere, the threads read the files themselves, as they do if no process can be started.
"""

from __future__ import annotations

import contextlib
import logging
import math
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
from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from allin1_core.contracts.audio import Mix, Stems
from allin1_core.errors import Allin1Error, AudioError, in_full
from allin1_core.io.decoding.loaders import may_have_loader
from allin1_core.io.mix import MixFile
from allin1_core.io.stems import StemFiles
from allin1_core.runtime.child_process import THREAD_VARIABLES, RemoteTraceback, WorkerEnded
from allin1_core.runtime.reading import FilesRead, read_whole
from allin1_core.runtime.reusable_memory import ReusableMemory, array_in

log = logging.getLogger(__name__)

#: The program. It finds modules in the same places as its parent.
_PROGRAM = (
    "import pickle, sys; sys.path[:] = pickle.loads(bytes.fromhex(sys.argv[1]));"
    " from allin1_core.runtime.reading_processes import main; main()"
)

#: Size in bytes of the length before a message.
_HEAD = 8

#: Memory is allocated in multiples of this many bytes, so that songs of similar lengths fit into the same: 24 s of audio.
_UNIT = 8 << 20


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
        process = self._process(file)
        if process is None:
            return (*read_whole(file), 0.0)
        try:
            found = process.read(file)
        except WorkerEnded as ended:
            self._forget(process)
            if process.is_ready or self._is_stopped:
                raise _crashed(file, ended) from ended
            self._give_up(f"a process {ended}")
            return self.read(file)
        except BaseException:
            self._put_back(process)
            raise
        self._put_back(process)
        return found

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
                # Preferably one with free memory, so that as little as possible is allocated.
                free = (i for i, each in enumerate(self._idle) if each.has_free_memory)
                return self._idle.pop(next(free, -1))
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
    # In a program that embeds Python, the executable is that program.
    is_python = Path(sys.executable or "").name.startswith(("python", "pypy"))
    return is_python and hasattr(os, "memfd_create") and hasattr(socket, "send_fds")


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
        self._memories: dict[int, ReusableMemory] = {}
        #: Numbers of those whose samples are not needed any more; appended to by any thread.
        self._free: deque[int] = deque()
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

    @property
    def has_free_memory(self) -> bool:
        """Whether samples that it has read before are not needed any more."""
        return bool(self._free)

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
            offered = self._free.popleft() if self._free else None
            _send(self._socket, (file, offered))
            (kind, *content), descriptor = _receive(self._socket)
        except (EOFError, OSError) as error:
            raise self._ended() from error
        if kind == "raised":
            if offered is not None:
                self._free.append(offered)
            failure, text = content
            raise failure from RemoteTraceback(text)
        record, number, shape, files, cpu_s = content
        if descriptor is not None:
            if offered is not None:
                del self._memories[offered]  # it was too small
            self._memories[number] = _mapped(descriptor)
        samples = self._memories[number].array(shape, partial(self._free.append, number))
        return record(samples), files, cpu_s

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


def _mapped(descriptor: int) -> ReusableMemory:
    """Map memory, and close its descriptor."""
    try:
        return ReusableMemory(mmap.mmap(descriptor, 0))
    finally:
        os.close(descriptor)


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
    reader = _Reader(socket.socket(fileno=os.dup(0)))
    with contextlib.suppress(EOFError, OSError):
        reader.run()


class _Reader:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._memories: dict[int, mmap.mmap] = {}
        self._count = 0

    def run(self) -> None:
        _send(self._connection, "ready")
        while True:
            (file, offered), _ = _receive(self._connection)
            self._answer(file, offered)

    def _answer(self, file: MixFile | StemFiles, offered: int | None) -> None:
        """Read files into the memory `offered`, or into new memory if that is too small."""
        began, descriptors = time.process_time(), list[int]()
        message: tuple[Any, ...]
        try:
            record, files = read_whole(file)
            number, descriptors = self._room(record.samples.nbytes, offered)
            array_in(self._memories[number], record.samples.shape)[:] = record.samples
            shape, cpu_s = record.samples.shape, time.process_time() - began
            message = "read", type(record), number, shape, files, cpu_s
        except Exception as error:
            message = "raised", _sendable(error), traceback.format_exc()
        _send(self._connection, message, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)

    def _room(self, size: int, offered: int | None) -> tuple[int, list[int]]:
        """Number of the memory to use, and its descriptor if it is new."""
        if offered is not None and (memory := self._memories.pop(offered, None)) is not None:
            if len(memory) >= size:
                self._memories[offered] = memory
                return offered, []
            memory.close()
        descriptor = os.memfd_create("allin1-samples")
        try:
            size = math.ceil(size / _UNIT) * _UNIT
            os.posix_fallocate(descriptor, 0, size)
            memory = mmap.mmap(descriptor, size)
        except OSError as error:
            os.close(descriptor)
            raise MemoryError(in_full(error)) from error
        self._count += 1
        self._memories[self._count] = memory
        return self._count, [descriptor]


def _sendable(error: Exception) -> Exception:
    """The same exception if it is one of this project, or can be pickled."""
    if isinstance(error, Allin1Error):
        return error
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(in_full(error))
    return error
