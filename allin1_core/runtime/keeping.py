"""Whether the stems of separated songs are kept, where, and when those of an earlier run are used again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from allin1_core.contracts.audio import Stems
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.route import USUAL_AUDIO_S
from allin1_core.errors import SelectionError
from allin1_core.io.kept_stems import StemsToKeep, stems_to_keep
from allin1_core.io.known_digests import KnownDigests
from allin1_core.io.stems import StemFiles
from allin1_core.plugins.options import OptionValues
from allin1_core.runtime.engine import Engine
from allin1_core.runtime.found_stems import StemPlugins, StemsOfPlugin
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
    plugins
        Asked for stems before a song is separated; None to ask nobody.
    known_digests
        Digests of files that were read before; None to read each.
    """

    parameters: DemixParameters
    keeps_new: bool = False
    folder: Path | None = None
    overwrite: bool = False
    options: OptionValues = field(default_factory=dict)
    plugins: StemPlugins | None = None
    known_digests: KnownDigests | None = None

    @property
    def has_plugins(self) -> bool:
        """Whether there are plugins to ask for stems."""
        return self.plugins is not None and self.plugins.are_there

    def place_of(self, track: Track) -> StemsToKeep | None:
        """Where the stems of a song are kept; None where nobody asked."""
        if not (self.keeps_new or self.folder is not None):
            return None
        return stems_to_keep(
            self.folder,
            track.name,
            track.source,
            self.parameters,
            self.options,
            self.known_digests,
        )

    def find(self, kept: StemsToKeep, wanted: Wanted, engine: Engine) -> StemFiles | None:
        """Stems of an earlier run, where they are what this one would make, and the model wants stems."""
        if engine.card.takes == "mix":
            return None
        choices = engine.chooser.wishes.choices
        files = kept.find(next((c.name for c in choices if c.stage == "demix"), None))
        if files is None:
            return None
        return files if _can_begin_at_stems(wanted, engine) else None

    def ask_plugins(
        self, track: Track, wanted: Wanted, engine: Engine
    ) -> tuple[StemsOfPlugin | None, tuple[str, ...]]:
        """Stems of a plugin, where the model wants stems and no separation was asked for; and warnings."""
        named = any(choice.stage == "demix" for choice in engine.chooser.wishes.choices)
        if (
            self.plugins is None
            or engine.card.takes == "mix"
            or self.keeps_new
            or named
            or self.parameters != DemixParameters()
            or not _can_begin_at_stems(wanted, engine)
        ):
            return None, ()
        return self.plugins.find(track.source, track.name)


def _can_begin_at_stems(wanted: Wanted, engine: Engine) -> bool:
    """Whether there is a route from stems: not for a model that takes the song itself."""
    stages = stages_from(Stems, wanted, engine.card)
    try:
        # Nothing is measured for this question; it may be asked in a thread that reads ahead.
        engine.chooser.decide(engine.chooser.request(stages, USUAL_AUDIO_S))
    except SelectionError:
        return False
    return True
