"""What a backend says of this machine. Unavailability is a reason, not a bool."""

from __future__ import annotations

from dataclasses import dataclass

from allin1_core.contracts.rules import Line, Text, Word


@dataclass(frozen=True)
class Ready:
    """The backend can run here.

    Attributes
    ----------
    device
        Name of the device it will use: ``cpu``, ``cuda:0``.
    detail
        What a person might like to know: the name of the card, the version of the library.
    """

    device: Word
    detail: Line = ""


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
