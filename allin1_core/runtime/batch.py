"""Many tracks: one that fails costs itself alone, and while one is computed the next is read.

Where another device than the CPU computes, four tracks are on their way at a time: two being read, one in the stages, and
one in the decoder of the metre. The stages run in the caller's thread, so that Ctrl-C ends them at once and
array libraries see one thread only.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from allin1_core.contracts.result import AnalysisResult
from allin1_core.errors import (
    Allin1Error,
    BackendError,
    OutputError,
    WeightsError,
    is_out_of_memory,
)
from allin1_core.io.results import check_destination, load_result, save_result
from allin1_core.runtime.analysis import Analysis, ResultOptions
from allin1_core.runtime.identity import Earlier, find_earlier, refuse_other
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import Track

if TYPE_CHECKING:
    from typing_extensions import Unpack

log = logging.getLogger(__name__)

#: Tracks that are read ahead of an accelerator. One reader cannot keep up with a fast one: a minute and a half of FLAC takes it
#: 0.13 s, the stages on an H200 0.08 s.
MOST_AHEAD = 2


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
        The result's JSON, if one was written or is up to date.
    status
        ``done``; ``skipped``: the result of an earlier run is up to date, and is given without its arrays; ``kept``: there
        is a result that does not say what it is a result of, and it was left alone; ``failed``.
    seconds
        From the moment when the track was looked at.
    """

    track: Track
    result: AnalysisResult | None = None
    error: Allin1Error | None = None
    written: Path | None = None
    status: Literal["done", "skipped", "kept", "failed"] = "done"
    seconds: float = 0.0


def run_batch(
    session: Session,
    tracks: Sequence[Track],
    *,
    out_dir: Path | None = None,
    overwrite: bool = False,
    progress: Callable[[int, str, float], None] | None = None,
    songs: int | None = None,
    **options: Unpack[ResultOptions],
) -> Iterator[Outcome]:
    """Analyse `tracks` and give their outcomes in order.

    Each result is written as soon as it is there, so that nothing finished is lost to a later failure. Where `out_dir`
    has a result of an earlier run that is up to date, it is left as it is; what it lacks is added.

    Parameters
    ----------
    session
        Does the work.
    tracks
        What to analyse.
    out_dir
        Where results are written; None writes none.
    overwrite
        Analyse every track anew, and replace whatever result has its name; else the result of another input, another
        model or other options is an error.
    progress
        Told the track's index, the running stage, and the fraction of the track that is done; by one thread at a
        time, not always the same.
    songs
        Songs that the session will analyse in all, as far as is known, for the price of its set-up; None for `tracks`.
    options
        What the results shall hold, as in :class:`~allin1_core.runtime.analysis.ResultOptions`.

    Raises
    ------
    WeightsError
        If the model's weights are missing or damaged, which ends the batch.
    """
    telling = threading.Lock()
    began: dict[int, float] = {}
    # Results at the moment when each track was looked at: another process may work in the same folder.
    there: dict[str, tuple[int, int] | None] = {}

    def timed(index: int, outcome: Outcome) -> Outcome:
        return replace(outcome, seconds=round(time.perf_counter() - began.pop(index), 3))

    def opened(index: int) -> Analysis | Outcome:
        track = tracks[index]

        def tell(stage: str, fraction: float) -> None:
            if progress is not None:
                with telling:
                    progress(index, stage, fraction)

        began[index] = time.perf_counter()
        analysis = session.analysis(track, progress=tell, songs=songs or len(tracks), **options)
        try:
            if out_dir is not None:
                json_path = out_dir / f"{track.name}.json"
                there[track.name] = _state(json_path)
                if not overwrite:
                    done = _done_before(analysis, json_path, options)
                    if done is not None:
                        return done
                check_destination(out_dir, track.name, track.path, overwrite=overwrite)
            analysis.read()
        except Exception as error:
            return _failed(track, error)
        return analysis

    def begun(analysis: Analysis) -> Analysis | Outcome:
        try:
            if (made := made_meanwhile(analysis)) is not None:
                return made
            analysis.begin()
        except Exception as error:
            return _failed(analysis.track, error)
        return analysis

    def made_meanwhile(analysis: Analysis) -> Outcome | None:
        if out_dir is None or overwrite:
            return None
        json_path = out_dir / f"{analysis.track.name}.json"
        was = there.get(analysis.track.name)
        return None if _state(json_path) == was else _up_to_date(analysis, json_path, options)

    def finished(analysis: Analysis) -> Outcome:
        track, written = analysis.track, None
        try:
            result = analysis.finish()
            if (made := made_meanwhile(analysis)) is not None:
                return made
            if out_dir is not None:
                written = save_result(result, out_dir, track.name, overwrite=overwrite)
                analysis.was_written(result, written, out_dir)
        except Exception as error:
            return _failed(track, error)
        return Outcome(track, result, written=written)

    with (
        ThreadPoolExecutor(MOST_AHEAD, "allin1-read") as readers,
        ThreadPoolExecutor(1, "allin1-finish") as finisher,
    ):
        ahead: deque[Future[Analysis | Outcome]] = deque()
        most = 1
        left: tuple[int, Future[Outcome]] | None = None
        for index in range(len(tracks)):
            # Nothing is computed while the first is read, and in this thread Ctrl-C ends that at once.
            current = ahead.popleft().result() if ahead else opened(index)
            for coming in range(index + len(ahead) + 1, min(index + most + 1, len(tracks))):
                ahead.append(readers.submit(opened, coming))
            if isinstance(current, Analysis):
                current = begun(current)
            if left is not None:
                yield timed(left[0], left[1].result())
                left = None
            if isinstance(current, Outcome):
                yield timed(index, current)
            elif current.is_paused:
                most = MOST_AHEAD
                left = index, finisher.submit(finished, current)
            else:
                yield timed(index, finished(current))
        if left is not None:
            yield timed(left[0], left[1].result())


def _done_before(analysis: Analysis, json_path: Path, options: ResultOptions) -> Outcome | None:
    """Outcome of a track whose result an earlier run has left; None where it has to be analysed.

    What of an earlier result is to be kept is given to `analysis`.
    """
    if not json_path.exists():
        return None
    try:
        earlier = _find_earlier(analysis, json_path, options)
    except OutputError:
        return None  # whether it may be replaced is decided for anything that has the name
    refuse_other(json_path, earlier)
    if earlier.state == "current" and not analysis.lacks_kept_stems():
        return Outcome(analysis.track, earlier.result, written=json_path, status="skipped")
    if earlier.state == "foreign":
        return Outcome(analysis.track, earlier.result, written=json_path, status="kept")
    if earlier.state in ("current", "incomplete"):
        analysis.add_to(load_result(json_path))
    return None


def _up_to_date(analysis: Analysis, json_path: Path, options: ResultOptions) -> Outcome | None:
    """Outcome of a track whose result another process has made meanwhile; None where that is not what is asked for."""
    try:
        earlier = _find_earlier(analysis, json_path, options)
    except OutputError:
        return None
    if earlier.state != "current":
        return None
    return Outcome(analysis.track, earlier.result, written=json_path, status="skipped")


def _find_earlier(analysis: Analysis, json_path: Path, options: ResultOptions) -> Earlier:
    return find_earlier(
        json_path,
        analysis.identities,
        analysis.outputs,
        activations=options.get("include_activations", False),
        embeddings=options.get("include_embeddings", False),
    )


def _state(path: Path) -> tuple[int, int] | None:
    """What changes whenever a file is replaced; None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # a NUL in its name
        return None
    return found.st_ino, found.st_mtime_ns


def _failed(track: Track, error: Exception) -> Outcome:
    """Tell what became of a track that failed; raise what ends the batch."""
    if isinstance(error, WeightsError):
        # Without weights no track can be analysed: told once, not once a track.
        raise error
    if isinstance(error, Allin1Error):
        return Outcome(track, error=error, status="failed")
    # A bug, ours or a library's, or no memory left: this track is lost, the others need not be.
    log.debug("unexpected error on %s", track.source, exc_info=error)
    wrapped = (
        BackendError(
            "There is not enough memory for this track.",
            path=track.source,
            remedy="Close other programs, or analyse it on a machine with more memory.",
        )
        if is_out_of_memory(error)
        else BackendError(
            f"unexpected {type(error).__name__}: {error}",
            path=track.source,
            remedy="Run again with --traceback and report it.",
        )
    )
    wrapped.__cause__ = error
    return Outcome(track, error=wrapped, status="failed")
