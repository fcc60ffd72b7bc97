"""The hierarchy of errors. Each states what happened, to which file or backend, and what to do about it.

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
    "ResultError",
    "SelectionError",
    "SettingsError",
    "StemsError",
    "WeightsError",
    "brief",
    "in_full",
    "is_out_of_memory",
]

#: What code of a plugin may raise and counts as a failure of that plugin. Catch these around every import, hook, probe,
#: factory and call of a plugin: ``sys.exit()`` in a plugin must not end the program, but Ctrl-C must.
PLUGIN_FAILURES: tuple[type[BaseException], ...] = (Exception, SystemExit)


class Allin1Error(Exception):
    """Base class of the errors that a user can fix.

    Parameters
    ----------
    message
        What happened, and to which file or backend.
    remedy
        What to do about it, as a sentence; a separate attribute, so that programs can display it separately.
    path
        The file concerned, which is put before the message.
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
        # The default pickling of exceptions would lose the keyword arguments, and errors cross processes.
        return _rebuild, (type(self), self.message, self.remedy, self.path)

    def __str__(self) -> str:
        text = self.message if self.path is None else f"{shown(self.path)}: {self.message}"
        if not self.remedy:
            return text
        # A message may end with the text of another exception, which seldom ends with a full stop.
        return f"{text}{'' if text.endswith(('.', '!', '?', ':')) else '.'} {self.remedy}"


def _rebuild(
    kind: type[Allin1Error], message: str, remedy: str | None, path: str | None
) -> Allin1Error:
    return kind(message, remedy=remedy, path=path)


class SettingsError(Allin1Error):
    """The environment or the configuration file is invalid."""

    exit_code = 2


def brief(error: BaseException) -> str:
    """Type and first line of an exception, for use in a sentence: ``OSError: no such file``."""
    return _typed(error, _lines(error)[:1])


def in_full(error: BaseException) -> str:
    """Type and complete message of an exception on one line, for plugin authors."""
    return _typed(error, _lines(error))


def _typed(error: BaseException, lines: list[str]) -> str:
    return ": ".join([type(error).__name__, " ".join(lines)]) if lines else type(error).__name__


def _lines(error: BaseException) -> list[str]:
    """Lines of the message that are not empty; none if the exception cannot be converted to a string."""
    try:
        text = str(error).encode("utf-8", "backslashreplace").decode("utf-8")
    except PLUGIN_FAILURES:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception, or one of its causes, reports that the machine or a device is out of memory.

    >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError("no"))
    (True, False)
    """
    seen: BaseException | None = error
    while seen is not None:
        names = {kind.__name__ for kind in type(seen).__mro__}
        # Libraries define their own classes for it, or raise a RuntimeError with one of these phrases.
        if isinstance(seen, MemoryError) or names & {"OutOfMemoryError", "OutOfMemory"}:
            return True
        text = str(seen).lower()
        if isinstance(seen, RuntimeError) and any(words in text for words in _OUT_OF_MEMORY):
            return True
        seen = seen.__cause__
    return False


#: Phrases in the errors of PyTorch (on a CPU, CUDA, MPS) and MLX.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "unable to allocate")


class InputError(Allin1Error):
    """The user's input cannot be analysed."""

    exit_code = 3


class AudioError(InputError):
    """A file cannot be read as audio, or contains no usable samples."""


class StemsError(InputError):
    """Stems are missing, or do not match each other."""


class WeightsError(Allin1Error):
    """Trained parameters are missing, damaged, or cannot be downloaded."""

    exit_code = 4


class PluginError(Allin1Error):
    """A plugin cannot be used, and the user named it or asked for strict checks."""

    exit_code = 5


class SelectionError(Allin1Error):
    """No backend can do what was requested, or what was named (backend, model, format, executor) does not exist or cannot."""

    exit_code = 5


class BackendError(Allin1Error):
    """A backend failed while running, and no other could replace it."""

    exit_code = 5


class ContractError(Allin1Error, ValueError):
    """Data passed between stages has the wrong shape, type or values."""

    exit_code = 5


class OutputError(Allin1Error):
    """A result cannot be written or read."""

    exit_code = 6


class ResultError(InputError, OutputError):
    """A file is not a result, is damaged, or cannot be read."""


class BatchError(Allin1Error):
    """Some tracks of a batch failed; the others are done.

    Attributes
    ----------
    results
        An :class:`~allin1_core.contracts.result.AnalysisResult` for each track, in the given order; None for those that
        failed.
    errors
        The error of each failed track, by the path of the track.
    """

    def __init__(self, results: Sequence[Any], errors: Mapping[str, Allin1Error]) -> None:
        self.results = list(results)
        self.errors = dict(errors)
        lines = "".join(f"\n  {error}" for error in self.errors.values())
        super().__init__(f"{len(self.errors)} of {len(self.results)} tracks failed:{lines}")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.results, self.errors)
