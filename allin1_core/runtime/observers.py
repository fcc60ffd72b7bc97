"""Everything that is notified of a run: the hooks of plugins, the file of timings, and the picture of timings.

None of it can affect the run: plugins receive copies, and failures only cause a warning.
"""

from __future__ import annotations

import copy
import logging
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from allin1_core.contracts.result import AnalysisResult, StageRecord
from allin1_core.errors import PLUGIN_FAILURES, OutputError, in_full
from allin1_core.plugins.loading import Plugins
from allin1_core.runtime.postprocessing import postprocess
from allin1_core.runtime.timings import Timing, append_timing, check_timings, timing_of
from allin1_core.runtime.timings_picture import check_timings_picture, draw_timings

log = logging.getLogger(__name__)


class Observers:
    """Notifies plugins and records timings, from one thread at a time.

    Parameters
    ----------
    plugins
        Plugins whose hooks are called.
    timings_path, picture
        Files for the timings, as lines of JSON and as a picture; None writes none.
    overwrite_picture
        Whether `picture` may replace an earlier picture of timings.

    Raises
    ------
    OutputError
        The picture cannot be drawn here or must not be replaced, or `timings_path` contains something else.
    SettingsError
        A file has the name of a song.
    """

    def __init__(
        self,
        plugins: Plugins,
        timings_path: Path | None = None,
        picture: Path | None = None,
        *,
        overwrite_picture: bool = False,
    ) -> None:
        if picture is not None:
            check_timings_picture(picture, overwrite=overwrite_picture)
        if timings_path is not None:
            check_timings(timings_path)
        self._plugins = plugins
        self._timings_path = timings_path
        self._picture = picture
        self._overwrite_picture = overwrite_picture
        self._timings: list[Timing] = []
        self._lock = threading.RLock()
        self._process = os.getpid()

    @property
    def _one_at_a_time(self) -> threading.RLock:
        if self._process != os.getpid():
            # Another thread may have held the lock when this process was forked; it is never released here.
            self._lock, self._process = threading.RLock(), os.getpid()
        return self._lock

    def stage_finished(self, track: str, record: StageRecord, ended: float, model: str) -> None:
        """Record that a stage of a track ran with a model; `ended` is in seconds since 1970."""
        timing = timing_of(record, ended=ended, model=model, track=track)
        with self._one_at_a_time:
            if self._picture is not None:
                self._timings.append(timing)
            if self._timings_path is not None:
                self._append(self._timings_path, timing)
            self._call("allin1_stage_finished", {"track": track, "record": record})

    def postprocess(self, track: str, result: AnalysisResult) -> AnalysisResult:
        """Let plugins replace `result`; see :func:`.postprocessing.postprocess`."""
        with self._one_at_a_time:
            return postprocess(self._plugins, track, result)

    def track_finished(
        self, track: str, result: AnalysisResult | None = None, error: Exception | None = None
    ) -> None:
        """Notify plugins that a track has its result, or the error that ended it."""
        arguments = {"track": track, "result": result, "error": error}
        with self._one_at_a_time:
            self._call("allin1_track_finished", arguments)

    def result_written(self, track: str, result: AnalysisResult, path: Path, folder: Path) -> None:
        """Notify plugins that the result of a track was written."""
        arguments = {"track": track, "result": result, "path": path, "folder": folder}
        with self._one_at_a_time:
            self._call("allin1_result_written", arguments)

    def close(self) -> None:
        """Draw the picture of the timings so far."""
        if self._picture is None or not self._timings:
            return
        try:
            # Another program may have written a file there in the meantime.
            check_timings_picture(self._picture, overwrite=self._overwrite_picture)
            draw_timings(self._picture, self._timings)
            self._overwrite_picture = True
        except Exception as error:
            log.warning("The picture of timings was not drawn: %s", error)
            log.debug("drawing failed", exc_info=error)

    def _append(self, path: Path, timing: Timing) -> None:
        try:
            append_timing(path, timing)
        except OutputError as error:
            log.warning("%s No further timings are written.", error)
            self._timings_path = None

    def _call(self, hook: str, arguments: Mapping[str, Any]) -> None:
        """Call a hook of each plugin that implements it, with copies of the arguments; exceptions are logged."""
        for name, plugin in self._plugins.manager.list_name_plugin():
            if plugin is None:
                continue
            call = self._plugins.hook_of(name, hook)
            if not call.get_hookimpls():
                continue
            try:
                call(**{key: _copy(value) for key, value in arguments.items()})
            except PLUGIN_FAILURES as error:
                log.warning("Plugin %s raised in %s: %s", name, hook, in_full(error))
                log.debug("hook %s of plugin %s failed", hook, name, exc_info=error)


def _copy(value: Any) -> Any:
    """A copy that can be modified safely; exceptions keep their traceback and cause."""
    if not isinstance(value, BaseException):
        return copy.deepcopy(value)
    try:
        other = copy.copy(value)
    except Exception:  # not every exception can be created from its arguments
        return value
    other.__cause__, other.__context__ = value.__cause__, value.__context__
    return other.with_traceback(value.__traceback__)
