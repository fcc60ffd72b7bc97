"""Whether the stems of separated songs are kept, where, and when those of an earlier run are used again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from allin1_core.contracts.audio import Stems
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.route import USUAL_AUDIO_S
from allin1_core.errors import SelectionError
from allin1_core.io.kept_stems import StemsToKeep, stems_to_keep
from allin1_core.io.stems import StemFiles
from allin1_core.plugins.options import OptionValues
from allin1_core.runtime.engine import Engine
from allin1_core.runtime.plan import Wanted, stages_from
from allin1_core.runtime.track import Track


@dataclass(frozen=True)
class Keeping:
    """What a session does about stems.

    Attributes
    ----------
    parameters
        How songs are separated.
    keeps_new
        Whether stems are written.
    folder
        Folder of kept stems; None for the usual one, in which none are looked for unless new ones are kept.
    overwrite
        Whether kept stems of another song may be replaced.
    options
        What the user set of the options of plugins.
    """

    parameters: DemixParameters
    keeps_new: bool = False
    folder: Path | None = None
    overwrite: bool = False
    options: OptionValues = field(default_factory=dict)

    def place_of(self, track: Track) -> StemsToKeep | None:
        """Where the stems of a song are kept; None where nobody asked."""
        if not (self.keeps_new or self.folder is not None):
            return None
        return stems_to_keep(self.folder, track.name, track.source, self.parameters, self.options)

    def find(self, kept: StemsToKeep, wanted: Wanted, engine: Engine) -> StemFiles | None:
        """Stems of an earlier run, where they are what this one would make, and the model wants stems."""
        if engine.card.takes == "mix":
            return None
        choices = engine.chooser.wishes.choices
        files = kept.find(next((c.name for c in choices if c.stage == "demix"), None))
        if files is None:
            return None
        stages = stages_from(Stems, wanted, engine.card)
        try:
            # Nothing is measured for this question; it may be asked in a thread that reads ahead.
            engine.chooser.decide(engine.chooser.request(stages, USUAL_AUDIO_S))
        except SelectionError:  # of a model that takes the song itself
            return None
        return files
