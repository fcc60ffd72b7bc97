"""Executors, declared: who runs a batch of songs."""

from __future__ import annotations

from dataclasses import dataclass, field

from allin1_core.contracts.backend import Needs
from allin1_core.contracts.options import Option
from allin1_core.contracts.rules import Line, Name, Target


@dataclass(frozen=True)
class Executor:
    """One way to run a batch: in this process, in others, on other machines.

    It gives an outcome for each track as soon as it has one, in any order. The core gives the user exactly one for each
    track, in the order of the tracks: it holds what comes early, drops what comes twice or for no track of the batch, and
    reports a track without an outcome as failed.

    Attributes
    ----------
    name
        What users name it by (``--executor``); letters, digits, ``-``.
    summary
        One line for a table.
    target
        ``"package.module:function"``, an :class:`~allin1_core.runtime.executors.ExecutorTarget`. Imported only once
        chosen.
    needs
        What must be installed.
    options
        Options that a user may set; the target finds their values in
        :attr:`~allin1_core.runtime.executors.ExecutorSetup.options`.
    """

    name: Name
    summary: Line
    target: Target
    needs: Needs = field(default_factory=Needs)
    options: tuple[Option, ...] = ()
