"""What a way to break a plugin is, and the sources that it changes."""

from __future__ import annotations

from dataclasses import dataclass

HEAD = """
from dataclasses import replace
from allin1_core.contracts.audio_loader import AudioLoader
from allin1_core.contracts.backend import Backend, Needs
from allin1_core.contracts.command import Command
from allin1_core.contracts.executor import Executor
from allin1_core.contracts.export import Exporter
from allin1_core.contracts.found_stems import FoundStems
from allin1_core.contracts.model import ModelCard, WeightsFile
from allin1_core.contracts.options import Option
from allin1_core.contracts.parity import close
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.contracts.speed import Speed
from allin1_core.markers import hookimpl

NPU = Space("allin1_core", "npu")

def backend(name="mine", stage="metrical_prep", target="PACKAGE.work:create", **fields):
    return Backend(name, stage, target, "for a test", **fields)
"""

WORK = """
import threading, time
import numpy as np
from allin1_core.contracts.audio import Stems
from allin1_core.contracts.logits import Activations
from allin1_core.contracts.verdict import Broken, Ready, Unavailable
from allin1_core.reference import metrical_prep, network
from allin1_core.testing.foreign import download, upload

calls = []

def create(setup):
    good = metrical_prep.create(setup)
    def call(logits, task):
        activations = good(logits, task).values
        BODY
        return Activations(activations)
    AFTER
    return call
"""


def hook(name: str, body: str, arguments: str = "") -> str:
    return f"@hookimpl\ndef {name}({arguments}):\n    {body}\n"


def offers(arguments: str = "", stage: str = "metrical_prep") -> str:
    """A hook that offers a backend with these fields."""
    return hook(f"allin1_{stage}", f"yield backend({arguments})")


@dataclass(frozen=True)
class Way:
    """A way to break a plugin.

    Attributes
    ----------
    title
        What is wrong, for the table.
    words
        What the line says.
    hooks, body, after, work
        Sources: of the hooks; of the backend's call and factory; of functions besides.
    real
        Whether processes are started, to see what only they can.
    """

    title: str
    words: str
    hooks: str = offers()
    body: str = "pass"
    after: str = "pass"
    work: str = ""
    real: bool = False
