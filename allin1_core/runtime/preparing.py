"""Beside the reading of the first song: libraries are imported and weights are loaded that its route will need.

No factory is called there, and so no backend is set up: array libraries see one thread compute.
"""

from __future__ import annotations

import importlib
import logging
import threading

from allin1_core.errors import PLUGIN_FAILURES, SelectionError
from allin1_core.io.mix import MixFile
from allin1_core.io.stems import StemFiles
from allin1_core.runtime.engine import Engine
from allin1_core.runtime.plan import Wanted, seconds_of, stages_from, stages_in_blocks
from allin1_core.selection.candidate import Candidate
from allin1_core.weights.store import find_folders, is_here

log = logging.getLogger(__name__)


def prepare(engine: Engine, start: MixFile | StemFiles, wanted: Wanted, songs: int) -> None:
    """Begin to load what the route of so many songs like this one needs, and return at once.

    Whatever fails fails again where it is needed, and is told there.
    """
    if engine.measure is not None or engine.backends.set_up:
        return  # what is measured decides, or a song has been here before
    card, chooser = engine.card, engine.chooser
    seconds = seconds_of(start)
    stages = stages_from(type(start), wanted, card)
    in_blocks = stages_in_blocks(start, seconds, card)
    request = chooser.request(stages, seconds, songs=songs, in_blocks=in_blocks)
    try:
        decision = chooser.decide(request)
    except SelectionError:
        return
    chosen = [decision.candidate(step.backend) for step in decision.chosen.steps]
    # No daemon: a program that ends while a library is being imported would crash.
    threading.Thread(target=_load, args=(engine, chosen), name="allin1-prepare").start()


def _load(engine: Engine, chosen: list[Candidate]) -> None:
    backends = engine.backends
    try:
        if engine.card.files and is_here(engine.card, find_folders(backends.weights_dir)):
            backends.model()
        for candidate in chosen:
            if not engine.chooser.confirm(candidate):
                return  # another route will be chosen
            importlib.import_module(candidate.backend.target.partition(":")[0])
    except PLUGIN_FAILURES:
        log.debug("loading beside reading failed", exc_info=True)
