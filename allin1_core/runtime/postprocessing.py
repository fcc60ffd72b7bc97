"""Plugins may replace a result before it is returned or written."""

from __future__ import annotations

import copy
import json
import logging
from dataclasses import replace

from allin1_core.contracts.consistency import find_inconsistency
from allin1_core.contracts.result import AnalysisResult
from allin1_core.contracts.rules import show
from allin1_core.errors import PLUGIN_FAILURES, in_full
from allin1_core.io.results import to_json
from allin1_core.plugins.loading import Plugins

log = logging.getLogger(__name__)

_HOOK = "allin1_postprocess_result"


def postprocess(plugins: Plugins, track: str, result: AnalysisResult) -> AnalysisResult:
    """Ask each plugin in turn for a new result in place of `result`.

    If a plugin raises an exception, or returns something other than a valid result, only its own change is lost, and a
    warning is added to the result. It is not logged as well, as the command line prints both. Plugins that changed the
    result are listed in ``provenance.postprocessors``.
    """
    for name, change in plugins.implementations(_HOOK):
        try:
            new = change(track=track, result=copy.deepcopy(result))
            if not new:  # the plugin does not implement the hook, or keeps the result
                continue
            (new,) = new
            fault = find_result_fault(new)
        except PLUGIN_FAILURES as error:
            log.debug("hook %s of plugin %s raised", _HOOK, name, exc_info=True)
            fault = f"it raised {in_full(error)}"
        if fault is None:
            result = _kept(new, result, name)
            continue
        warning = f"The change by plugin {name} was not applied: {fault.rstrip('.')}."
        result = replace(result, warnings=[*result.warnings, warning])
    return result


def _kept(new: AnalysisResult, old: AnalysisResult, plugin: str) -> AnalysisResult:
    """`new` with the parts that a plugin must not change: the path of the song, and the provenance."""
    provenance = old.provenance
    if provenance is not None:
        names = (*provenance.postprocessors, plugin)
        provenance = replace(provenance, postprocessors=names)
    return replace(new, path=old.path, provenance=provenance)


def find_result_fault(result: object) -> str | None:
    """What prevents `result` from being written or used; None if nothing does."""
    if type(result) is not AnalysisResult:
        return f"it returned {show(result)}, which is not an AnalysisResult"
    json.dumps(to_json(result), allow_nan=False)  # raises an exception if it cannot be written
    fault = find_inconsistency(result)
    return None if fault is None else f"it returned {fault}"
