"""Batches of tracks: a failure affects one track only, and while one is computed the next is read.

If the computation runs on a device other than the CPU, as many tracks are read ahead as are needed to keep it busy
(:mod:`~allin1_core.runtime.reading_ahead`), one is in the stages, and one in the metre decoder. The stages run in the
caller's thread, so that Ctrl-C stops them immediately and array libraries see only one thread.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allin1_core.io.claims import try_claim
from allin1_core.io.results import check_destination, save_result
from allin1_core.runtime import earlier_results
from allin1_core.runtime.analysis import Analysis, ResultOptions
from allin1_core.runtime.batch_separation import BatchSeparator, Separation
from allin1_core.runtime.caller_progress import CallerProgress
from allin1_core.runtime.feed import EndOfTracks, Feed
from allin1_core.runtime.outcome import Outcome as Outcome
from allin1_core.runtime.outcome import failed_outcome
from allin1_core.runtime.reading_ahead import ReadingAhead
from allin1_core.runtime.reading_processes import Reading, ReadingProcesses
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import Track, naming

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from allin1_core.urls import Url

#: Songs that are downloaded at the same time: servers refuse clients that request many.
_MOST_DOWNLOADS = 2

#: Tracks from which reading in processes pays off, which take about 0.3 s to start.
FEWEST_FOR_PROCESSES = 4

#: Outcomes that may wait for a track that another process has claimed; they take memory.
_MOST_WAITING = 16

#: Seconds between checks whether another process has released a track.
_CHECK_INTERVAL_S = 0.2


def run_batch(
    session: Session,
    tracks: Sequence[Track] | Feed,
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
        Tracks to analyse. From a feed, the next track is taken when all others are finished; if the computation runs on
        a device other than the CPU, as soon as there is time to read it.
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
    total, is_fed = len(tracks), isinstance(tracks, Feed)
    spent: defaultdict[int, float] = defaultdict(float)
    # Each item is requested once, because a sequence may have to download it.
    looked: dict[int, Track] = {}
    # What each track holds until its outcome is available: a downloaded file, and the claim of its result.
    holdings: dict[int, ExitStack] = {}
    # State of result files when each track was opened: another process may work in the same folder.
    there: dict[str, tuple[int, int] | None] = {}
    pace, downloads = ReadingAhead(session.threads), threading.Semaphore(_MOST_DOWNLOADS)
    processes = ReadingProcesses()

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
        return failed_outcome(track, error)

    @contextmanager
    def uncounted(index: int) -> Iterator[None]:
        """Do not count the time that a step waits for other tracks."""
        began = time.perf_counter()
        try:
            yield
        finally:
            spent[index] -= time.perf_counter() - began

    def opened(index: int, *, again: bool = False) -> Analysis | Outcome | None:
        """The analysis of a track after reading, or its outcome; None while another process has claimed it."""
        track = looked[index] if index in looked else looked.setdefault(index, tracks[index])
        reading = processes.reading()
        try:
            with ExitStack() as held:
                began = time.thread_time()
                found: Analysis | Outcome | None = counted(
                    index, looked_at, index, track, held, reading, again
                )
                if isinstance(found, Analysis):
                    pace.was_read(time.thread_time() - began + reading.cpu_s)
                    holdings[index] = held.pop_all()
                return found
        except Exception as error:
            return failed(track, error)

    def downloaded(index: int, url: Url, held: ExitStack) -> Path:
        """Path of the song, until `held` is closed."""
        from allin1_core.io.fetching import fetched

        with uncounted(index):
            downloads.acquire()
        try:
            return held.enter_context(fetched(url, lambda: not stopped.is_set()))
        finally:
            downloads.release()

    def looked_at(
        index: int, track: Track, held: ExitStack, reading: Reading, again: bool
    ) -> Analysis | Outcome | None:
        @functools.cache
        def analysis() -> Analysis:
            local = track
            if (url := _url_of(track)) is not None:
                local = replace(track, source=downloaded(index, url, held), remote=None)
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
            with uncounted(index):
                pace.reserve(index, analysis().bytes_to_read)
            if stopped.is_set():
                return None
            analysis().read(reading)
        if is_accelerated:
            analysis().plan()  # a few milliseconds in which the accelerator would wait
        return analysis()

    def let_go() -> None:
        for held in holdings.values():
            held.close()

    def done_before(analysis: Callable[[], Analysis], json_path: Path) -> Outcome | None:
        """Outcome of a track that already has a result; each version of the result is checked once."""
        name, state = json_path.name.removesuffix(".json"), earlier_results.state_of(json_path)
        is_new = name not in there or there[name] != state
        there[name] = state
        if not (state and is_new):
            return None
        with naming(analysis().track):
            return earlier_results.done_before(analysis(), json_path, options)

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
                analysis.begin(on_accelerator)
        except Exception as error:
            return failed(analysis.track, error)
        return analysis

    def made_meanwhile(analysis: Analysis) -> Outcome | None:
        if out_dir is None or overwrite:
            return None
        json_path = out_dir / f"{analysis.track.name}.json"
        was = there.get(analysis.track.name)
        return (
            None
            if earlier_results.state_of(json_path) == was
            else earlier_results.up_to_date(analysis, json_path, options)
        )

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
    postponed: deque[int] = deque()
    ahead: deque[Future[Analysis | Outcome | None]] = deque()
    is_accelerated, upcoming = False, 0
    # Number of the first tracks of `ahead` that have been separated.
    separated, separator = 0, BatchSeparator(caller)

    def is_crowded() -> bool:
        return len(waiting) >= _MOST_WAITING

    def read_ahead() -> None:
        """Start to read the tracks that follow, as many as are needed."""
        nonlocal upcoming
        most = pace.count if is_accelerated else 0 if is_fed else 1
        while upcoming < total and len(ahead) - separated < most and not is_crowded():
            ahead.append(readers.submit(opened, upcoming))
            upcoming += 1

    def on_accelerator() -> None:
        nonlocal is_accelerated
        is_accelerated = True
        if len(tracks) >= FEWEST_FOR_PROCESSES:
            processes.use()
        read_ahead()

    def separate_ahead(index: int, current: Analysis) -> None:
        """Separate a short track together with the next ones that have been read, if the backend supports it."""
        nonlocal separated
        if not is_accelerated or separated or (first := current.separation()) is None:
            return
        analyses, separations = [current], list[Separation]()
        for reading in ahead:
            following = _analysis_in(reading)
            separation = None if following is None else following.separation()
            if following is None or separation is None:
                break
            analyses.append(following)
            separations.append(separation)
        chosen = separator.choose(first, separations)
        if not chosen:
            return
        separated = len(chosen) - 1
        for position in range(index + 1, index + len(chosen)):
            pace.release(position)
        read_ahead()
        for position, ran in enumerate(separator.run(chosen)):
            analyses[position].take_separated(ran)
            spent[index + position] += ran.seconds

    def is_read(index: int) -> bool:
        """Wait until the next track has been read, unless there is something else to do before."""
        awaited: list[Future[Any]] = [ahead[0]]
        if left is not None:
            awaited.append(left[1])
        with pace.awaiting(index):
            wait(awaited, _CHECK_INTERVAL_S if postponed else None, FIRST_COMPLETED)
        return ahead[0].done()

    def released() -> Iterator[tuple[int, Analysis | Outcome]]:
        """Yield the postponed tracks that other processes have released."""
        while postponed:
            with pace.awaiting(postponed[0]):
                current = opened(postponed[0], again=True)
            if current is None:
                break
            yield postponed.popleft(), current

    def coming() -> Iterator[tuple[int, Analysis | Outcome] | None]:
        """Yield each track once it has been opened, and None before waiting.

        Tracks are in order, except that tracks claimed by other processes follow once they have been released.
        """
        nonlocal upcoming, separated, total
        index = 0
        while index < total or postponed:
            # Without reading ahead, a feed is not asked for a track before all others are finished.
            if index < total and (ahead or not (is_crowded() or (is_fed and postponed))):
                if not ahead:
                    yield None  # a feed may let it wait
                elif not ahead[0].done():
                    pace.was_late()
                    while not is_read(index):
                        yield None
                        yield from released()
                try:
                    with pace.awaiting(index):
                        if ahead:
                            current = ahead.popleft().result()
                            separated = max(0, separated - 1)
                        else:
                            # Nothing is computed while the first track is read; in this thread, Ctrl-C stops that at once.
                            upcoming = index + 1
                            current = opened(index)
                except EndOfTracks:
                    total = index
                    ahead.clear()
                    continue
                read_ahead()
                if current is None:
                    postponed.append(index)
                else:
                    began = time.perf_counter()
                    if isinstance(current, Analysis):
                        separate_ahead(index, current)
                    yield index, current
                    if isinstance(current, Analysis):
                        pace.was_computed(time.perf_counter() - began)
                index += 1
            else:
                # All tracks that this process has claimed are finished, so two processes never wait for each other.
                yield None
                time.sleep(_CHECK_INTERVAL_S)
            yield from released()

    given = 0
    left: tuple[int, Future[Outcome]] | None = None
    with ExitStack() as stack:
        stack.callback(let_go)
        readers = stack.enter_context(ThreadPoolExecutor(pace.most, "allin1-read"))
        finisher = stack.enter_context(ThreadPoolExecutor(1, "allin1-finish"))
        stack.callback(processes.stop)
        stack.callback(pace.stop)
        if isinstance(tracks, Feed):
            stack.callback(tracks.end)
        stack.callback(stopped.set)
        for turn in chain(coming(), [None]):
            index, current = turn or (0, None)
            if isinstance(current, Analysis):
                current = counted(index, begun, current)
            if left is not None:
                waiting[left[0]] = timed(left[0], left[1].result())
                left = None
            if isinstance(current, Outcome):
                waiting[index] = timed(index, current)
            elif current is not None and current.is_paused:
                left = index, finisher.submit(counted, index, finished, current)
            elif current is not None:
                waiting[index] = timed(index, counted(index, finished, current))
            while given in waiting:
                yield waiting.pop(given)
                given += 1


def _analysis_in(reading: Future[Analysis | Outcome | None]) -> Analysis | None:
    """The analysis of a track that has been read, and is to be computed."""
    if not reading.done() or reading.exception() is not None:
        return None
    found = reading.result()
    return found if isinstance(found, Analysis) else None


def _url_of(track: Track) -> Url | None:
    """Address of the song, if it is to be downloaded: not if it has stems."""
    return track.remote if track.stems is None and track.stems_dir is None else None
