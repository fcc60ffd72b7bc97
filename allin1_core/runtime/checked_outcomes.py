"""Checks of the executors of plugins: one outcome for each track, in order, and errors that name the executor."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allin1_core.errors import PLUGIN_FAILURES, Allin1Error, PluginError, brief
from allin1_core.runtime.analysis import ResultOptions
from allin1_core.runtime.batch import Outcome
from allin1_core.runtime.caller_progress import CallerProgress
from allin1_core.runtime.executors import BatchProgress, BatchRunner
from allin1_core.runtime.track import Track

if TYPE_CHECKING:
    from typing_extensions import Unpack

_REPORT = "Report this to the plugin's authors."

log = logging.getLogger(__name__)


def executor_failure(executor: str, plugin: str, error: BaseException) -> PluginError:
    """Create the error for an exception that an executor of a plugin raised."""
    return PluginError(
        f"The executor {executor} of plugin {plugin} failed: {brief(error)}", remedy=_REPORT
    )


class CheckedRunner:
    """Runs a batch with an executor of a plugin, and yields exactly one outcome for each track, in order.

    The executor may return outcomes in any order: one that arrives early is held back until its turn. A track without an
    outcome has failed; a surplus outcome is dropped with a warning.

    Parameters
    ----------
    runner
        Return value of the executor's target.
    executor, plugin
        Names for messages.
    """

    def __init__(self, runner: BatchRunner, executor: str, plugin: str) -> None:
        self.runner = runner
        self._executor = executor
        self._plugin = plugin
        self._who = f"executor {executor} of plugin {plugin}"

    def run(
        self,
        tracks: Sequence[Track],
        *,
        out_dir: Path | None = None,
        overwrite: bool = False,
        progress: BatchProgress | None = None,
        **options: Unpack[ResultOptions],
    ) -> Iterator[Outcome]:
        """Analyse `tracks`, and yield their outcomes in order.

        Raises
        ------
        PluginError
            The executor failed, or yielded something other than outcomes.
        """
        caller = CallerProgress(progress)
        given: dict[str, Any] = {"out_dir": out_dir, "overwrite": overwrite}
        given["progress"] = None if progress is None else caller
        return self._in_order(tracks, self._checked(tracks, {**given, **options}, caller))

    def _in_order(
        self, tracks: Sequence[Track], outcomes: Generator[Outcome, None, None]
    ) -> Iterator[Outcome]:
        places: dict[Track, list[int]] = {}
        for place, track in reversed(list(enumerate(tracks))):
            places.setdefault(track, []).append(place)
        early: dict[int, Outcome] = {}
        due = 0
        try:
            for outcome in outcomes:
                track = outcome.track
                if not places.get(track):
                    times = "more than once" if track in places else "which it was not given"
                    log.warning(
                        "The %s returned an outcome for %s %s; it is dropped. %s",
                        self._who,
                        track.path,
                        times,
                        _REPORT,
                    )
                    continue
                early[places[track].pop()] = outcome
                while due in early:
                    yield early.pop(due)
                    due += 1
            for place in range(due, len(tracks)):
                yield early.pop(place) if place in early else self._missing(tracks[place])
        finally:
            outcomes.close()

    def _checked(
        self, tracks: Sequence[Track], options: dict[str, Any], caller: CallerProgress
    ) -> Generator[Outcome, None, None]:
        """Yield the outcomes of the executor, and add its name to exceptions.

        An exception of the caller's progress is raised unchanged, also if the executor has caught it.
        """
        running: Any = None
        try:
            running = self.runner.run(tracks, **options)
            for outcome in running:
                caller.check()
                self._check(outcome)
                yield outcome
            caller.check()
        except PLUGIN_FAILURES as error:
            caller.check()
            if isinstance(error, Allin1Error):
                raise
            raise executor_failure(self._executor, self._plugin, error) from error
        finally:
            self._close(running)

    def _check(self, outcome: Any) -> None:
        if not isinstance(outcome, Outcome) or not isinstance(outcome.track, Track):
            what = f"{type(outcome).__name__}; wanted Outcome"
        elif outcome.status == "failed" and not isinstance(outcome.error, Allin1Error):
            what = "a failed outcome without an Allin1Error"
        elif outcome.status != "failed" and outcome.result is None:
            what = f"an outcome that is {outcome.status} and has no result"
        else:
            return
        raise PluginError(f"The {self._who} returned {what}.", remedy=_REPORT)

    def _close(self, running: Any) -> None:
        try:
            getattr(running, "close", lambda: None)()
        except PLUGIN_FAILURES as error:
            log.warning("The %s failed while it was closed: %s", self._who, brief(error))

    def _missing(self, track: Track) -> Outcome:
        error = PluginError(
            f"The {self._who} returned no outcome for this song.", remedy=_REPORT, path=track.path
        )
        return Outcome(track, error=error, status="failed")
