"""What the run of a track starts from, and with which model: ready-made stems, those of an earlier run, or the song."""

from __future__ import annotations

from dataclasses import dataclass

from allin1_core.io.kept_stems import StemsToKeep
from allin1_core.io.mix import MixFile
from allin1_core.io.stems import StemFiles
from allin1_core.runtime.keeping import Keeping
from allin1_core.runtime.model_choice import ModelChoice, Models
from allin1_core.runtime.plan import Wanted
from allin1_core.runtime.track import Track


@dataclass(frozen=True)
class TrackStart:
    """How the run of a track starts.

    Attributes
    ----------
    choice
        The model.
    start
        The files to read.
    kept
        Where the stems of the song are kept; None where they are given, or nobody asked.
    is_kept
        Whether `start` is such stems, of an earlier run.
    """

    choice: ModelChoice
    start: StemFiles | MixFile
    kept: StemsToKeep | None = None
    is_kept: bool = False


def begin_track(
    track: Track, models: Models, keeping: Keeping, outputs: tuple[str, ...] | None = None
) -> TrackStart:
    """Find the files to start from, and choose the model for them; `outputs` as for :meth:`.Models.choose`.

    Raises
    ------
    InputError
        The song, or its stems, are not there.
    """
    files = track.find_stems()
    if files is not None:
        return TrackStart(models.choose(StemFiles, outputs), files)
    kept = keeping.place_of(track)
    if kept is not None:
        choice = models.choose(StemFiles, outputs)
        wanted = Wanted(frozenset(choice.card.outputs if outputs is None else outputs))
        files = keeping.find(kept, wanted, choice.engine)
        if files is not None:
            return TrackStart(choice, files, kept, is_kept=True)
    return TrackStart(models.choose(MixFile, outputs), MixFile(track.source), kept)
