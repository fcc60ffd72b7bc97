"""The declaration of executors, which run a batch of songs."""

from __future__ import annotations

from dataclasses import dataclass, field

from allin1_core.contracts.backend import Needs
from allin1_core.contracts.options import Option
from allin1_core.contracts.rules import Line, Name, Target


@dataclass(frozen=True)
class Executor:
    """Declares a way to run a batch: in this process, in others, or on other machines.

    It yields the outcome of each track as soon as it is available, in any order. The core returns exactly one outcome for
    each track, in the order of the tracks: early ones are held back, duplicates and outcomes of unknown tracks are dropped
    with a warning, and a track without an outcome is reported as failed.

    Attributes
    ----------
    name
        Name for the option ``--executor``; letters, digits, ``-``.
    summary
        One line for a table.
    target
        ``"package.module:function"``, an :class:`~allin1_core.runtime.executors.ExecutorTarget`. Only imported once
        chosen.
    needs
        What must be installed.
    options
        Options that the user may set; the target finds their values in
        :attr:`~allin1_core.runtime.executors.ExecutorSetup.options`.
    """

    name: Name
    summary: Line
    target: Target
    needs: Needs = field(default_factory=Needs)
    options: tuple[Option, ...] = ()
