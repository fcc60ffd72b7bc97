"""What the core makes of every executor of a plugin: one outcome for each track, in order, and failures with a name."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allin1_core.errors import PLUGIN_FAILURES, Allin1Error, PluginError, brief
from allin1_core.runtime.analysis import ResultOptions
from allin1_core.runtime.batch import Outcome
from allin1_core.runtime.executors import BatchProgress, BatchRunner
from allin1_core.runtime.track import Track

if TYPE_CHECKING:
    from typing_extensions import Unpack

_REPORT = "Report this to the plugin's authors."

log = logging.getLogger(__name__)


def executor_failure(executor: str, plugin: str, error: BaseException) -> PluginError:
    """The error that says which executor of which plugin raised `error`."""
    return PluginError(
        f"The executor {executor} of plugin {plugin} failed: {brief(error)}", remedy=_REPORT
    )


class CheckedRunner:
    """Runs a batch by an executor of a plugin, and gives exactly one outcome for each track, in their order.

    The executor may give them in any order. A track for which there is no outcome has failed; an outcome too many is dropped with a warning. An outcome that
    comes early is held until it is its turn.

    Parameters
    ----------
    runner
        What the executor's target gave.
    executor, plugin
        Names, for messages.
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
        """Analyse `tracks` and give their outcomes.

        Raises
        ------
        PluginError
            The executor failed, or gave something else than outcomes.
        """
        told = None if progress is None else _Told(progress)
        given: dict[str, Any] = {"out_dir": out_dir, "overwrite": overwrite, "progress": told}
        return self._in_order(tracks, self._given(tracks, {**given, **options}, told))

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
                        "The %s gave an outcome for %s %s; it is dropped. %s",
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

    def _given(
        self, tracks: Sequence[Track], options: dict[str, Any], told: _Told | None
    ) -> Generator[Outcome, None, None]:
        """What the executor gives; what it raises bears its name."""
        running: Any = None
        try:
            running = self.runner.run(tracks, **options)
            for outcome in running:
                self._check(outcome)
                yield outcome
        except Allin1Error:
            raise
        except PLUGIN_FAILURES as error:
            if told is not None and error is told.raised:  # the caller's own
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
        raise PluginError(f"The {self._who} gave {what}.", remedy=_REPORT)

    def _close(self, running: Any) -> None:
        try:
            getattr(running, "close", lambda: None)()
        except PLUGIN_FAILURES as error:
            log.warning("The %s failed while it was closed: %s", self._who, brief(error))

    def _missing(self, track: Track) -> Outcome:
        error = PluginError(
            f"The {self._who} gave no outcome for this song.", remedy=_REPORT, path=track.path
        )
        return Outcome(track, error=error, status="failed")


class _Told:
    """The caller's progress, which remembers what the caller raised in it: that is no failure of the executor."""

    def __init__(self, progress: BatchProgress) -> None:
        self._progress = progress
        self.raised: BaseException | None = None

    def __call__(self, index: int, stage: str, fraction: float) -> None:
        try:
            self._progress(index, stage, fraction)
        except BaseException as error:
            self.raised = error
            raise
