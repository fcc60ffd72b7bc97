"""Whether and where the stems of separated songs are kept, and when those of an earlier run are reused."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from allin1_core.contracts.audio import Stems
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.route import USUAL_AUDIO_S
from allin1_core.errors import SelectionError
from allin1_core.io.kept_stems import DEFAULT_FOLDER, StemsToKeep, stems_to_keep
from allin1_core.io.known_digests import KnownDigests
from allin1_core.io.stems import StemFiles
from allin1_core.plugins.options import OptionValues
from allin1_core.runtime.engine import Engine
from allin1_core.runtime.found_stems import StemPlugins, StemsOfPlugin
from allin1_core.runtime.plan import Wanted, stages_from
from allin1_core.runtime.track import Track


@dataclass(frozen=True)
class Keeping:
    """How a session handles stems.

    Attributes
    ----------
    parameters
        Parameters of the separation.
    keeps_new
        Whether new stems are kept.
    folder
        Folder of kept stems; None for the default folder, which is only searched if new stems are kept.
    overwrite
        Whether kept stems of another song may be replaced.
    options
        Options of plugins set by the user.
    plugins
        Plugins that may provide stems before a song is separated; None to request none.
    known_digests
        Digests of files from earlier runs; None to read each file.
    """

    parameters: DemixParameters
    keeps_new: bool = False
    folder: Path | None = None
    overwrite: bool = False
    options: OptionValues = field(default_factory=dict)
    plugins: StemPlugins | None = None
    known_digests: KnownDigests | None = None
    #: The default folder, absolute from the start, as code of plugins may change the current folder.
    usual_folder: Path = field(default_factory=DEFAULT_FOLDER.absolute)

    @property
    def has_plugins(self) -> bool:
        """Whether there are plugins that may provide stems."""
        return self.plugins is not None and self.plugins.exist

    def place_of(self, track: Track) -> StemsToKeep | None:
        """Where the stems of a song are kept; None if that was not requested."""
        if not (self.keeps_new or self.folder is not None):
            return None
        return stems_to_keep(
            self.folder or self.usual_folder,
            track.name,
            track.source,
            self.parameters,
            self.options,
            self.known_digests,
        )

    def find(self, kept: StemsToKeep, wanted: Wanted, engine: Engine) -> StemFiles | None:
        """Stems of an earlier run, if they equal those that this run would produce and the model takes stems."""
        if engine.card.takes == "mix":
            return None
        choices = engine.chooser.preferences.choices
        files = kept.find(next((c.name for c in choices if c.stage == "demix"), None))
        if files is None:
            return None
        return files if _can_begin_at_stems(wanted, engine) else None

    def ask_plugins(
        self, track: Track, wanted: Wanted, engine: Engine
    ) -> tuple[StemsOfPlugin | None, tuple[str, ...]]:
        """Stems of a plugin, if the model takes stems and no separation was requested; and warnings."""
        named = any(choice.stage == "demix" for choice in engine.chooser.preferences.choices)
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
    """Whether there is a route from stems; not if the only backend takes the song itself."""
    stages = stages_from(Stems, wanted, engine.card)
    try:
        # Nothing is measured for this check, which may run in a thread that reads ahead.
        engine.chooser.decide(engine.chooser.request(stages, USUAL_AUDIO_S))
    except SelectionError:
        return False
    return True
