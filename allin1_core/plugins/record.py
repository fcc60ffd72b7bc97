"""The outcome of loading a plugin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["loaded", "broken", "blocked", "incompatible"]


@dataclass(frozen=True)
class PluginRecord:
    """A plugin that was found, and the outcome of loading it.

    Attributes
    ----------
    name
        Name of its entry point.
    status
        ``loaded``; ``broken``: it raised an exception, or is not a plugin; ``blocked``: the user blocked it;
        ``incompatible``: it was written for another level of the contract, or two plugins have this name.
    distribution, version
        Name and version of its distribution; empty for objects registered by a program.
    reason
        Why it is not loaded, as a sentence.
    remedy
        What to do about it, as a sentence.
    """

    name: str
    status: Status
    distribution: str = ""
    version: str = ""
    reason: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        known_as = f"{self.distribution} {self.version}".rstrip()
        source = f" ({known_as})" if self.distribution else ""
        text = f"Plugin {self.name}{source} is {self.status}"
        return " ".join(part for part in (f"{text}: {self.reason}", self.remedy) if part)


@dataclass(frozen=True)
class Problem:
    """A record or hook of a loaded plugin that is left out.

    Attributes
    ----------
    plugin
        Name of the plugin.
    hook
        The hook concerned.
    reason
        What is wrong, as a sentence.
    """

    plugin: str
    hook: str
    reason: str

    def __str__(self) -> str:
        return f"Plugin {self.plugin}, hook {self.hook}: {self.reason}"
