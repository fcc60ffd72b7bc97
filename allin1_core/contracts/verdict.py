"""The verdict of a backend on this machine. Unavailability is a reason, not a bool."""

from __future__ import annotations

from dataclasses import dataclass

from allin1_core.contracts.rules import Amount, Line, Text, Word


@dataclass(frozen=True)
class StartUp:
    """Something that is started once for all backends that need it, such as a library with a slow import.

    Attributes
    ----------
    name
        Import name of a library, which takes no time if it is already imported, or another word. Backends that name the
        same start-up share it, even across plugins.
    seconds
        Approximate duration.
    """

    name: Word
    seconds: Amount


@dataclass(frozen=True)
class Ready:
    """The backend can run here.

    Attributes
    ----------
    device
        Name of the device it will use: ``cpu``, ``cuda:0``.
    detail
        Details for the user: the name of the graphics card, the version of the library.
    start_ups
        What is started when it is set up, if a quick probe reports that; it is charged once per route, and once per
        session.
    """

    device: Word
    detail: Line = ""
    start_ups: tuple[StartUp, ...] = ()


@dataclass(frozen=True)
class Unavailable:
    """The backend cannot run here, and nothing is wrong.

    Attributes
    ----------
    reason
        Why, as a sentence: "No CUDA device was found."
    remedy
        What would change that, as a sentence; empty if nothing would.
    """

    reason: Text
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.reason} {self.remedy}".strip()


@dataclass(frozen=True)
class Broken:
    """The backend should run here, but does not.

    Attributes
    ----------
    error
        The exception's type and message.
    """

    error: Text

    def __str__(self) -> str:
        return self.error


#: The result of a probe.
Verdict = Ready | Unavailable | Broken
