"""Many tracks, one after another: one that fails costs itself alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from allin1_core.contracts.result import AnalysisResult
from allin1_core.errors import Allin1Error, BackendError, WeightsError
from allin1_core.io.results import check_destination, save_result
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import Track

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of a track.

    Attributes
    ----------
    track
        The track.
    result, error
        One of the two is None.
    written
        The result's JSON, if one was written.
    """

    track: Track
    result: AnalysisResult | None = None
    error: Allin1Error | None = None
    written: Path | None = None


def run_batch(
    session: Session,
    tracks: Sequence[Track],
    *,
    out_dir: Path | None = None,
    overwrite: bool = False,
    include_activations: bool = False,
    include_embeddings: bool = False,
    only: str | None = None,
    progress: Callable[[int, str, float], None] | None = None,
) -> Iterator[Outcome]:
    """Analyse `tracks` in order and give each outcome when it is there.

    Each result is written before the next track begins, so that nothing finished is lost to a later failure.

    Parameters
    ----------
    session
        Does the work.
    tracks
        What to analyse.
    out_dir
        Where results are written; None writes none.
    overwrite
        Whether a result of another input may be replaced.
    include_activations, include_embeddings
        What the results shall hold besides.
    only
        ``beats`` or ``sections``; None for all that the model can give.
    progress
        Told the track's index, the running stage, and the fraction of the track that is done.

    Raises
    ------
    WeightsError
        If the model's weights are missing or damaged, which ends the batch.
    """
    for index, track in enumerate(tracks):

        def tell(stage: str, fraction: float, index: int = index) -> None:
            if progress is not None:
                progress(index, stage, fraction)

        try:
            if out_dir is not None:
                check_destination(out_dir, track.name, track.source, overwrite=overwrite)
            result = session.analyze(
                track,
                include_activations=include_activations,
                include_embeddings=include_embeddings,
                only=only,
                progress=tell,
            )
            written = None
            if out_dir is not None:
                written = save_result(result, out_dir, track.name, overwrite=overwrite)
        except WeightsError:
            # Without weights no track can be analysed: told once, not once a track.
            raise
        except Allin1Error as error:
            yield Outcome(track, error=error)
        except Exception as error:
            # A bug, ours or a library's: this track is lost, the others need not be.
            log.debug("unexpected error on %s", track.source, exc_info=True)
            yield Outcome(track, error=_unexpected(track, error))
        else:
            yield Outcome(track, result, written=written)


def _unexpected(track: Track, error: Exception) -> Allin1Error:
    wrapped = BackendError(
        f"unexpected {type(error).__name__}: {error}",
        path=track.source,
        remedy="Run again with --traceback and report it.",
    )
    wrapped.__cause__ = error
    return wrapped
