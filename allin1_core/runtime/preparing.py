"""While the first song is read, the libraries and weights that its route needs are loaded.

No factory is called, and so no backend is set up: array libraries only see one computing thread.
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
    """Start to load what the route of `songs` songs like this one needs, and return immediately.

    Failures are ignored: they occur again, and are reported, where the library or the weights are needed.
    """
    if engine.measure is not None or engine.backends.is_prepared or engine.backends.set_up:
        return  # measurements will decide, or an earlier song loads everything
    engine.backends.is_prepared = True
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
    # Not a daemon: a program that exits while a library is being imported would crash.
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
        log.debug("loading in advance failed", exc_info=True)
