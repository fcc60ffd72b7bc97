"""allin1: tempo, beats, downbeats, section boundaries and labels of a song.

The names below are imported on first use; ``import allin1_core`` itself imports next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from allin1_core.api import analyze as analyze
    from allin1_core.api import analyze_iter as analyze_iter
    from allin1_core.api import sonify as sonify
    from allin1_core.api import visualize as visualize
    from allin1_core.contracts.demix import DemixParameters as DemixParameters
    from allin1_core.contracts.logits import HARMONIX_LABELS as HARMONIX_LABELS
    from allin1_core.contracts.metre import MetreParameters as MetreParameters
    from allin1_core.contracts.result import AnalysisResult as AnalysisResult
    from allin1_core.contracts.sections import Segment as Segment
    from allin1_core.errors import Allin1Error as Allin1Error
    from allin1_core.errors import BatchError as BatchError
    from allin1_core.io.results import load_result as load_result
    from allin1_core.markers import hookimpl as hookimpl
    from allin1_core.runtime.batch import Outcome as Outcome
    from allin1_core.runtime.session import Session as Session
    from allin1_core.runtime.track import Track as Track

_HOMES = {
    "HARMONIX_LABELS": "allin1_core.contracts.logits",
    "Allin1Error": "allin1_core.errors",
    "AnalysisResult": "allin1_core.contracts.result",
    "BatchError": "allin1_core.errors",
    "DemixParameters": "allin1_core.contracts.demix",
    "MetreParameters": "allin1_core.contracts.metre",
    "Outcome": "allin1_core.runtime.batch",
    "Segment": "allin1_core.contracts.sections",
    "Session": "allin1_core.runtime.session",
    "Track": "allin1_core.runtime.track",
    "analyze": "allin1_core.api",
    "analyze_iter": "allin1_core.api",
    "hookimpl": "allin1_core.markers",
    "load_result": "allin1_core.io.results",
    "sonify": "allin1_core.api",
    "visualize": "allin1_core.api",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("allin1-core")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
