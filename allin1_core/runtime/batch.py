"""Batches of tracks: a failure affects one track only, and while one is computed the next is read.

If the computation runs on a device other than the CPU, four tracks are in progress at a time: two are being read, one
is in the stages, and one in the metre decoder. The stages run in the caller's thread, so that Ctrl-C stops them
immediately and array libraries see only one thread.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from allin1_core.contracts.result import AnalysisResult
from allin1_core.errors import (
    Allin1Error,
    BackendError,
    OutputError,
    WeightsError,
    in_full,
    is_out_of_memory,
)
from allin1_core.io.claims import try_claim
from allin1_core.io.results import check_destination, load_result, save_result
from allin1_core.runtime.analysis import Analysis, ResultOptions
from allin1_core.runtime.caller_progress import CallerProgress
from allin1_core.runtime.identity import Earlier, find_earlier, refuse_other
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import Track, naming

if TYPE_CHECKING:
    from typing_extensions import Unpack

log = logging.getLogger(__name__)

#: Tracks that are read ahead for an accelerator. One reader cannot keep up with a fast one: it takes 0.13 s for a
#: minute and a half of FLAC, the stages take 0.08 s on an H200.
MOST_AHEAD = 2

#: Outcomes that may wait for a track that another process has claimed; they take memory.
_MOST_WAITING = 16

#: Seconds between checks whether another process has released a track.
_CHECK_INTERVAL_S = 0.2


@dataclass(frozen=True)
class Outcome:
    """The outcome of a track.

    Attributes
    ----------
    track
        The track.
    result, error
        The result, or the error that prevented it; both if only a picture or sound could not be created.
    written
        Path of the result's JSON file, if one was written or existed before.
    status
        ``done``; ``skipped``: the result of an earlier run is up to date, and is returned without its arrays; ``kept``:
        a result without a record of its input exists, and was not replaced; ``failed``.
    seconds
        Time spent on this track: downloading, reading, analysing, and writing the result, without the time it waited for
        other tracks. Steps of two tracks may run at the same time, and slow each other down.
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
    """Analyse `tracks`, and yield their outcomes in order.

    Each result is written as soon as it is available, so that a later failure does not lose it. If `out_dir` contains
    the result of an earlier run that is up to date, it is kept; if parts are missing, they are added.

    Parameters
    ----------
    session
        Session that does the work.
    tracks
        Tracks to analyse.
    out_dir
        Folder to which results are written; None writes nothing.
    overwrite
        Analyse every track again, and replace any result of the same name. Otherwise, a result of other input, another
        model or other options is an error.
    progress
        Called with the index of a track, the running stage, and the fraction of the track that is done; never by two
        threads at once, but not always by the same one. An exception that it raises ends the batch, and is raised here;
        results that are finished remain in `out_dir`.
    songs
        Number of songs that the session will analyse in total, as far as known, which determines the price of its
        set-up; None for the number of `tracks`.
    options
        What the results contain, as in :class:`~allin1_core.runtime.analysis.ResultOptions`.

    Raises
    ------
    WeightsError
        The weights of the model are missing or damaged, which ends the batch.
    """
    caller, stopped = CallerProgress(progress), threading.Event()
    spent: defaultdict[int, float] = defaultdict(float)
    # Each item is requested once, because a sequence may have to download it.
    looked: dict[int, Track] = {}
    # What each track holds until its outcome is available: a downloaded file, and the claim of its result.
    holdings: dict[int, ExitStack] = {}
    # State of result files when each track was opened: another process may work in the same folder.
    there: dict[str, tuple[int, int] | None] = {}

    def timed(index: int, outcome: Outcome) -> Outcome:
        if index in holdings:
            holdings.pop(index).close()
        return replace(outcome, track=looked.pop(index), seconds=round(spent.pop(index), 3))

    def counted(index: int, step: Callable[..., Any], *arguments: Any) -> Any:
        """Run a step of a track and add its duration; only one step of a track runs at a time."""
        began = time.perf_counter()
        try:
            return step(*arguments)
        finally:
            spent[index] += time.perf_counter() - began

    def failed(track: Track, error: Exception) -> Outcome:
        caller.check()
        return _failed(track, error)

    def opened(index: int, *, again: bool = False) -> Analysis | Outcome | None:
        """The analysis of a track after reading, or its outcome; None while another process has claimed it."""
        track = looked[index] if index in looked else looked.setdefault(index, tracks[index])
        try:
            with ExitStack() as held:
                found: Analysis | Outcome | None = counted(
                    index, looked_at, index, track, held, again
                )
                if isinstance(found, Analysis):
                    holdings[index] = held.pop_all()
                return found
        except Exception as error:
            return failed(track, error)

    def looked_at(
        index: int, track: Track, held: ExitStack, again: bool
    ) -> Analysis | Outcome | None:
        @functools.cache
        def analysis() -> Analysis:
            local = _fetched(track, held, lambda: not stopped.is_set())
            return session.analysis(
                local,
                progress=functools.partial(caller, index),
                songs=songs or len(tracks),
                **options,
            )

        if out_dir is not None:
            json_path = out_dir / f"{track.name}.json"
            if overwrite:
                if not claimed(json_path, held):
                    return None
                check_destination(out_dir, track.name, track.path, overwrite=True)
            else:
                there.pop(track.name, None)
                # A result that is up to date needs no claim.
                done = None if again else done_before(analysis, json_path)
                if done is None and not claimed(json_path, held):
                    return None
                # Another process may have written it before it was claimed.
                done = done or done_before(analysis, json_path)
                if done is not None:
                    return done
                replaces = there[track.name] is not None and analysis().adds_to_earlier
                check_destination(out_dir, track.name, track.path, overwrite=replaces)
        with naming(analysis().track):
            analysis().read()
        return analysis()

    def let_go() -> None:
        for held in holdings.values():
            held.close()

    def done_before(analysis: Callable[[], Analysis], json_path: Path) -> Outcome | None:
        """Outcome of a track that already has a result; each version of the result is checked once."""
        name, state = json_path.name.removesuffix(".json"), _state(json_path)
        is_new = name not in there or there[name] != state
        there[name] = state
        if not (state and is_new):
            return None
        with naming(analysis().track):
            return _done_before(analysis(), json_path, options)

    def claimed(json_path: Path, held: ExitStack) -> bool:
        claim = try_claim(json_path)
        if claim is not None:
            held.callback(claim.release)
        return claim is not None

    def begun(analysis: Analysis) -> Analysis | Outcome:
        try:
            if (made := made_meanwhile(analysis)) is not None:
                return made
            with naming(analysis.track):
                analysis.begin()
        except Exception as error:
            return failed(analysis.track, error)
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
            with naming(analysis.track):
                result = analysis.finish()
            if (made := made_meanwhile(analysis)) is not None:
                return made
            if out_dir is not None:
                replaces = overwrite or analysis.adds_to_earlier
                written = save_result(result, out_dir, track.name, overwrite=replaces)
                analysis.was_written(result, written, out_dir)
        except Exception as error:
            return failed(track, error)
        return Outcome(track, result, written=written)

    # Outcomes of tracks that follow one claimed by another process.
    waiting: dict[int, Outcome] = {}
    most = 1

    def coming(readers: ThreadPoolExecutor) -> Iterator[tuple[int, Analysis | Outcome] | None]:
        """Yield each track once it has been opened, and None before waiting.

        Tracks are in order, except that tracks claimed by other processes follow once they have been released.
        """
        ahead: deque[Future[Analysis | Outcome | None]] = deque()
        postponed: deque[int] = deque()
        index = 0
        while index < len(tracks) or postponed:
            is_crowded = len(waiting) >= _MOST_WAITING
            if index < len(tracks) and (ahead or not is_crowded):
                # Nothing is computed while the first track is read; in this thread, Ctrl-C stops that immediately.
                current = ahead.popleft().result() if ahead else opened(index)
                for further in range(index + len(ahead) + 1, min(index + most + 1, len(tracks))):
                    if not is_crowded:
                        ahead.append(readers.submit(opened, further))
                if current is None:
                    postponed.append(index)
                else:
                    yield index, current
                index += 1
            else:
                # All tracks that this process has claimed are finished, so two processes never wait for each other.
                yield None
                time.sleep(_CHECK_INTERVAL_S)
            while postponed and (current := opened(postponed[0], again=True)) is not None:
                yield postponed.popleft(), current

    given = 0
    left: tuple[int, Future[Outcome]] | None = None
    with ExitStack() as stack:
        stack.callback(let_go)
        readers = stack.enter_context(ThreadPoolExecutor(MOST_AHEAD, "allin1-read"))
        finisher = stack.enter_context(ThreadPoolExecutor(1, "allin1-finish"))
        stack.callback(stopped.set)
        for turn in chain(coming(readers), [None]):
            index, current = turn or (0, None)
            if isinstance(current, Analysis):
                current = counted(index, begun, current)
            if left is not None:
                waiting[left[0]] = timed(left[0], left[1].result())
                left = None
            if isinstance(current, Outcome):
                waiting[index] = timed(index, current)
            elif current is not None and current.is_paused:
                most = MOST_AHEAD
                left = index, finisher.submit(counted, index, finished, current)
            elif current is not None:
                waiting[index] = timed(index, counted(index, finished, current))
            while given in waiting:
                yield waiting.pop(given)
                given += 1


def _fetched(track: Track, held: ExitStack, is_wanted: Callable[[], bool]) -> Track:
    """The track with its song in a file, until `held` is closed; a song with given stems is not downloaded."""
    if track.remote is None or track.stems is not None or track.stems_dir is not None:
        return track
    from allin1_core.io.fetching import fetched

    file = held.enter_context(fetched(track.remote, is_wanted))
    return replace(track, source=file, remote=None)


def _done_before(analysis: Analysis, json_path: Path, options: ResultOptions) -> Outcome | None:
    """Outcome of a track for which an earlier run left a result; None if it must be analysed.

    If parts of the earlier result are to be kept, it is passed to `analysis`.
    """
    if not json_path.exists():
        return None
    try:
        earlier = _find_earlier(analysis, json_path, options)
    except OutputError:
        return None  # check_destination decides whether it may be replaced
    refuse_other(json_path, earlier)
    if earlier.state == "current" and not analysis.lacks_kept_stems():
        return Outcome(analysis.track, earlier.result, written=json_path, status="skipped")
    if earlier.state == "foreign":
        return Outcome(analysis.track, earlier.result, written=json_path, status="kept")
    if earlier.state in ("current", "incomplete"):
        analysis.add_to(load_result(json_path))
    return None


def _up_to_date(analysis: Analysis, json_path: Path, options: ResultOptions) -> Outcome | None:
    """Outcome of a track whose result another process has written in the meantime; None if it is not up to date."""
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
    """A value that changes whenever the file is replaced; None if it does not exist."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: a NUL character in the name
        return None
    return found.st_ino, found.st_mtime_ns


def _failed(track: Track, error: Exception) -> Outcome:
    """Create the outcome of a track that failed, or raise the error if it ends the batch."""
    if isinstance(error, WeightsError):
        # Without weights, no track can be analysed: report this once, not for every track.
        raise error
    if isinstance(error, Allin1Error):
        return Outcome(track, error=error, status="failed")
    # A bug in this or another package, or lack of memory: only this track is affected.
    log.debug("unexpected error on %s", track.path, exc_info=error)
    wrapped = (
        BackendError(
            "There is not enough memory for this track.",
            path=track.path,
            remedy="Close other programs, or analyse it on a machine with more memory.",
        )
        if is_out_of_memory(error)
        else BackendError(
            f"unexpected {in_full(error)}",
            path=track.path,
            remedy="Report it with its traceback (on the command line, run again with --traceback).",
        )
    )
    wrapped.__cause__ = error
    return Outcome(track, error=wrapped, status="failed")
