"""Those who are told about a run: the hooks of plugins, the file of timings, and the picture of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from allin1_core.contracts.result import AnalysisResult, StageRecord
from allin1_core.errors import PLUGIN_FAILURES, in_full
from allin1_core.plugins.loading import Plugins
from allin1_core.runtime.postprocessing import postprocess
from allin1_core.runtime.timings import Timing, append_timing, timing_of
from allin1_core.runtime.timings_picture import check_picture, draw_timings

log = logging.getLogger(__name__)


class Observers:
    """Passes on what happens, from one thread at a time.

    Parameters
    ----------
    plugins
        Whose hooks are called.
    model
        Name of the model, for the timings.
    timings_path, picture
        Files for the timings, as lines of JSON and as a picture; None for none.

    Raises
    ------
    OutputError
        If the picture cannot be drawn here.
    """

    def __init__(
        self,
        plugins: Plugins,
        model: str,
        timings_path: Path | None = None,
        picture: Path | None = None,
    ) -> None:
        if picture is not None:
            check_picture(picture)
        self._plugins = plugins
        self._model = model
        self._timings_path = timings_path
        self._picture = picture
        self._timings: list[Timing] = []
        self._one_at_a_time = threading.RLock()

    def stage_finished(self, track: str, record: StageRecord, ended: float) -> None:
        """A stage of a track has run; it ended at `ended`, in seconds since 1970.

        Raises
        ------
        OutputError
            If the file of timings cannot be written.
        """
        timing = timing_of(record, ended=ended, model=self._model, track=track)
        if self._picture is not None:
            self._timings.append(timing)
        if self._timings_path is not None:
            append_timing(self._timings_path, timing)
        self._call("allin1_stage_finished", {"track": track, "record": record})

    def postprocess(self, track: str, result: AnalysisResult) -> AnalysisResult:
        """Let plugins give a new result in place of `result`; see :func:`.postprocessing.postprocess`."""
        with self._one_at_a_time:
            return postprocess(self._plugins, track, result)

    def track_finished(
        self, track: str, result: AnalysisResult | None = None, error: Exception | None = None
    ) -> None:
        """A track has its result, or the error that ended it."""
        arguments = {"track": track, "result": result, "error": error}
        self._call("allin1_track_finished", arguments)

    def close(self) -> None:
        """Draw the picture of what has run until now.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        if self._picture is not None and self._timings:
            draw_timings(self._picture, self._timings)

    def _call(self, hook: str, arguments: Mapping[str, Any]) -> None:
        """Call a hook of each plugin; what one raises is logged."""
        with self._one_at_a_time:
            for name, plugin in self._plugins.manager.list_name_plugin():
                if plugin is None:
                    continue
                try:
                    self._plugins.hook_of(name, hook)(**arguments)
                except PLUGIN_FAILURES as error:
                    log.warning("Plugin %s raised in %s: %s", name, hook, in_full(error))
                    log.debug("hook %s of plugin %s raised", hook, name, exc_info=True)
