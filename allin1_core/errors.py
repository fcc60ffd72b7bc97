"""One tree of errors. Each says what happened, to which file or backend, and what to do about it.

The command line prints ``str(error)`` on one line, without a traceback, and exits with ``exit_code``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from allin1_core.text import shown

__all__ = [
    "PLUGIN_FAILURES",
    "Allin1Error",
    "AudioError",
    "BackendError",
    "BatchError",
    "ContractError",
    "InputError",
    "OutputError",
    "PluginError",
    "SelectionError",
    "SettingsError",
    "StemsError",
    "WeightsError",
    "brief",
    "in_full",
    "is_out_of_memory",
]

#: What code of a plugin may raise and is that plugin's failure: catch this around every import, hook, probe, factory and
#: call of one. ``sys.exit()`` in a plugin must not end the program; Ctrl-C is the user's, and is let through.
PLUGIN_FAILURES: tuple[type[BaseException], ...] = (Exception, SystemExit)


class Allin1Error(Exception):
    """Whatever a person can mend.

    Parameters
    ----------
    message
        What happened, and to which file or backend.
    remedy
        What to do about it, as a sentence; kept apart so that programs can show it apart.
    path
        The file concerned, put in front of the message.
    """

    #: Exit status of the command line when this error ends the run.
    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        remedy: str | None = None,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        self.message = message
        self.remedy = remedy
        self.path = None if path is None else os.fspath(path)
        super().__init__(str(self))

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own pickling would lose the keyword arguments, and errors cross processes.
        return _rebuild, (type(self), self.message, self.remedy, self.path)

    def __str__(self) -> str:
        text = self.message if self.path is None else f"{shown(self.path)}: {self.message}"
        return text if self.remedy is None else f"{text} {self.remedy}"


def _rebuild(
    kind: type[Allin1Error], message: str, remedy: str | None, path: str | None
) -> Allin1Error:
    return kind(message, remedy=remedy, path=path)


class SettingsError(Allin1Error):
    """The environment or the configuration file cannot be understood."""

    exit_code = 2


def brief(error: BaseException) -> str:
    """Type and first line of an exception, for a sentence: ``OSError: no such file``."""
    return _typed(error, _lines(error)[:1])


def in_full(error: BaseException) -> str:
    """Type and whole message of an exception, on one line: for authors, who need every word of it."""
    return _typed(error, _lines(error))


def _typed(error: BaseException, lines: list[str]) -> str:
    return ": ".join([type(error).__name__, " ".join(lines)]) if lines else type(error).__name__


def _lines(error: BaseException) -> list[str]:
    """Lines of the message that hold something; none where the exception cannot even say what it is."""
    try:
        text = str(error).encode("utf-8", "backslashreplace").decode("utf-8")
    except PLUGIN_FAILURES:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception, or what it was raised from, says that memory is exhausted, of this machine or of a device.

    >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError("no"))
    (True, False)
    """
    seen: BaseException | None = error
    while seen is not None:
        names = {kind.__name__ for kind in type(seen).__mro__}
        # Libraries have classes of their own for it, or a RuntimeError with these words.
        if isinstance(seen, MemoryError) or names & {"OutOfMemoryError", "OutOfMemory"}:
            return True
        text = str(seen).lower()
        if isinstance(seen, RuntimeError) and any(words in text for words in _OUT_OF_MEMORY):
            return True
        seen = seen.__cause__
    return False


#: What PyTorch (on a CPU, CUDA, MPS) and MLX say.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "unable to allocate")


class InputError(Allin1Error):
    """What the user gave cannot be analysed."""

    exit_code = 3


class AudioError(InputError):
    """A file cannot be read as audio, or holds no usable samples."""


class StemsError(InputError):
    """The four stems are not all there, or do not belong together."""


class WeightsError(Allin1Error):
    """Trained parameters are missing, damaged, or cannot be fetched."""

    exit_code = 4


class PluginError(Allin1Error):
    """A plugin cannot be used, and the user asked for it or for strictness."""

    exit_code = 5


class SelectionError(Allin1Error):
    """No backend can do what was asked, or the one asked for by name cannot."""

    exit_code = 5


class BackendError(Allin1Error):
    """A backend failed while it worked, and none could take over."""

    exit_code = 5


class ContractError(Allin1Error, ValueError):
    """Data at a border between stages has the wrong shape, type or values."""

    exit_code = 5


class OutputError(Allin1Error):
    """A result cannot be written or read."""

    exit_code = 6


class BatchError(Allin1Error):
    """Some tracks of a batch failed; the others are done.

    Attributes
    ----------
    results
        An :class:`~allin1_core.contracts.result.AnalysisResult` for each track in the order given; None where it
        failed.
    errors
        What went wrong, by the track's path.
    """

    def __init__(self, results: Sequence[Any], errors: Mapping[str, Allin1Error]) -> None:
        self.results = list(results)
        self.errors = dict(errors)
        lines = "".join(f"\n  {error}" for error in self.errors.values())
        super().__init__(f"{len(self.errors)} of {len(self.results)} tracks failed:{lines}")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.results, self.errors)
