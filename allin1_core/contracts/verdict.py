"""What a backend says of this machine. Unavailability is a reason, not a bool."""

from __future__ import annotations

from dataclasses import dataclass

from allin1_core.contracts.rules import Amount, Line, Text, Word


@dataclass(frozen=True)
class StartUp:
    """Something that is started once for all backends that need it, such as a library that takes long to import.

    Attributes
    ----------
    name
        The import name of a library, which takes no time where it is imported already, or another word. Backends that
        name the same share it, whichever plugin they belong to.
    seconds
        How long that takes, about.
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
        What a person might like to know: the name of the card, the version of the library.
    start_ups
        What is started when it is set up, where a quick probe says so; a route pays for each once, and a session too.
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
    """The backend should run here, and does not.

    Attributes
    ----------
    error
        The exception's type and message.
    """

    error: Text

    def __str__(self) -> str:
        return self.error


#: What a probe found out.
Verdict = Ready | Unavailable | Broken
