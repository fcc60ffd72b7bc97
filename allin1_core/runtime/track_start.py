"""The input of a track's run, and its model: ready-made stems, those of an earlier run, or the song."""

from __future__ import annotations

from dataclasses import dataclass

from allin1_core.io.kept_stems import StemsToKeep
from allin1_core.io.mix import MixFile
from allin1_core.io.stems import StemFiles
from allin1_core.runtime.found_stems import StemsInPlugin, StemsOfPlugin
from allin1_core.runtime.keeping import Keeping
from allin1_core.runtime.model_choice import ModelChoice, Models
from allin1_core.runtime.plan import Wanted
from allin1_core.runtime.track import Track


@dataclass(frozen=True)
class TrackStart:
    """The start of a track's run.

    Attributes
    ----------
    choice
        The model.
    start
        The files to read.
    kept
        Where the stems of the song are kept; None if they are given, or keeping was not requested.
    is_kept
        Whether `start` consists of kept stems of an earlier run.
    found
        Stems that a plugin provided, if they are `start`.
    warnings
        Problems with stems of plugins.
    """

    choice: ModelChoice
    start: StemFiles | MixFile | StemsInPlugin
    kept: StemsToKeep | None = None
    is_kept: bool = False
    found: StemsOfPlugin | None = None
    warnings: tuple[str, ...] = ()


def begin_track(
    track: Track,
    models: Models,
    keeping: Keeping,
    outputs: tuple[str, ...] | None = None,
    *,
    asks_plugins: bool = True,
) -> TrackStart:
    """Determine the input of a track's run, and choose the model for it; `outputs` as for :meth:`.Models.choose`.

    Plugins are asked for stems unless `asks_plugins` is False.

    Raises
    ------
    InputError
        The song, or its stems, do not exist.
    """
    files = track.find_stems()
    if files is not None:
        return TrackStart(models.choose(StemFiles, outputs), files)
    kept = keeping.place_of(track)
    may_ask = asks_plugins and keeping.has_plugins and not track.source.is_dir()
    warnings: tuple[str, ...] = ()
    if kept is not None or may_ask:
        choice = models.preferred(StemFiles, outputs)
        wanted = Wanted(frozenset(choice.card.outputs if outputs is None else outputs))
    if kept is not None and choice.trouble is None:
        files = keeping.find(kept, wanted, choice.engine)
        if files is not None:
            return TrackStart(choice, files, kept, is_kept=True)
    if may_ask and choice.trouble is None:
        found, warnings = keeping.ask_plugins(track, wanted, choice.engine)
        if found is not None:
            return TrackStart(choice, found.start, kept, found=found, warnings=warnings)
    choice = models.choose(MixFile, outputs)
    return TrackStart(choice, MixFile(track.source), kept, warnings=warnings)
