"""Many tracks: one that fails costs itself alone, and while one is computed the next is read.

Where another device than the CPU computes, four tracks are on their way at a time: two being read, one in the stages, and
one in the decoder of the metre. The stages run in the caller's thread, so that Ctrl-C ends them at once and
array libraries see one thread only.
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
    is_out_of_memory,
)
from allin1_core.io.claims import try_claim
from allin1_core.io.results import check_destination, load_result, save_result
from allin1_core.runtime.analysis import Analysis, ResultOptions
from allin1_core.runtime.identity import Earlier, find_earlier, refuse_other
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import Track, naming

if TYPE_CHECKING:
    from typing_extensions import Unpack

log = logging.getLogger(__name__)

#: Tracks that are read ahead of an accelerator. One reader cannot keep up with a fast one: a minute and a half of FLAC takes it
#: 0.13 s, the stages on an H200 0.08 s.
MOST_AHEAD = 2

#: Outcomes that may wait behind a track that another process is at: they take memory.
_MOST_WAITING = 16

#: Seconds between two looks at whether another process has left a track.
_LOOK_S = 0.2


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
        That were spent on this track: fetching, reading, analysing, and writing the result; not those in which it waited
        for others. Steps of two tracks may run at once, and slow each other down.
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
    telling, stopped = threading.Lock(), threading.Event()
    spent: defaultdict[int, float] = defaultdict(float)
    # Each is asked for once: a sequence may have to fetch it.
    looked: dict[int, Track] = {}
    # What each track holds until its outcome is there: a file that was fetched, and the claim of its result.
    holdings: dict[int, ExitStack] = {}
    # Results at the moment when each track was looked at: another process may work in the same folder.
    there: dict[str, tuple[int, int] | None] = {}

    def timed(index: int, outcome: Outcome) -> Outcome:
        if index in holdings:
            holdings.pop(index).close()
        return replace(outcome, track=looked.pop(index), seconds=round(spent.pop(index), 3))

    def counted(index: int, step: Callable[..., Any], *arguments: Any) -> Any:
        """Run a step of a track, which is in one step at a time, and count its seconds."""
        began = time.perf_counter()
        try:
            return step(*arguments)
        finally:
            spent[index] += time.perf_counter() - began

    def opened(index: int, *, again: bool = False) -> Analysis | Outcome | None:
        """The track, read; what became of it; or None while another process is at it."""
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
            return _failed(track, error)

    def looked_at(
        index: int, track: Track, held: ExitStack, again: bool
    ) -> Analysis | Outcome | None:
        def tell(stage: str, fraction: float) -> None:
            if progress is not None:
                with telling:
                    progress(index, stage, fraction)

        @functools.cache
        def analysis() -> Analysis:
            local = _fetched(track, held, lambda: not stopped.is_set())
            return session.analysis(local, progress=tell, songs=songs or len(tracks), **options)

        if out_dir is not None:
            json_path = out_dir / f"{track.name}.json"
            if overwrite:
                if not claimed(json_path, held):
                    return None
                check_destination(out_dir, track.name, track.path, overwrite=True)
            else:
                there.pop(track.name, None)
                # What is up to date needs no claim.
                done = None if again else done_before(analysis, json_path)
                if done is None and not claimed(json_path, held):
                    return None
                # Another process may have made it before it was claimed.
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
        """What became of a track whose result is there; looked at once for each that comes."""
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
            with naming(analysis.track):
                result = analysis.finish()
            if (made := made_meanwhile(analysis)) is not None:
                return made
            if out_dir is not None:
                replaces = overwrite or analysis.adds_to_earlier
                written = save_result(result, out_dir, track.name, overwrite=replaces)
                analysis.was_written(result, written, out_dir)
        except Exception as error:
            return _failed(track, error)
        return Outcome(track, result, written=written)

    # Outcomes of tracks behind one that another process is at.
    waiting: dict[int, Outcome] = {}
    most = 1

    def coming(readers: ThreadPoolExecutor) -> Iterator[tuple[int, Analysis | Outcome] | None]:
        """Give each track when it was opened; None before something is waited for.

        They come in their order, but those that other processes are at when those have left them.
        """
        ahead: deque[Future[Analysis | Outcome | None]] = deque()
        postponed: deque[int] = deque()
        index = 0
        while index < len(tracks) or postponed:
            is_crowded = len(waiting) >= _MOST_WAITING
            if index < len(tracks) and (ahead or not is_crowded):
                # Nothing is computed while the first is read, and in this thread Ctrl-C ends that at once.
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
                # Whatever this process has claimed is done, so that two never wait for each other.
                yield None
                time.sleep(_LOOK_S)
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
    """The track with its song in a file, as long as it is held; a song whose stems are given need not be fetched."""
    if track.remote is None or track.stems is not None or track.stems_dir is not None:
        return track
    from allin1_core.io.fetching import fetched

    file = held.enter_context(fetched(track.remote, is_wanted))
    return replace(track, source=file, remote=None)


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
    log.debug("unexpected error on %s", track.path, exc_info=error)
    wrapped = (
        BackendError(
            "There is not enough memory for this track.",
            path=track.path,
            remedy="Close other programs, or analyse it on a machine with more memory.",
        )
        if is_out_of_memory(error)
        else BackendError(
            f"unexpected {type(error).__name__}: {error}",
            path=track.path,
            remedy="Run again with --traceback and report it.",
        )
    )
    wrapped.__cause__ = error
    return Outcome(track, error=wrapped, status="failed")
