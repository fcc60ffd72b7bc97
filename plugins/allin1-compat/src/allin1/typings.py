"""The types, in the module where the original has them."""

from allin1_core.api import AnyPath as PathLike
from allin1_core.contracts.result import AnalysisResult
from allin1_core.contracts.sections import Segment

__all__ = ["AnalysisResult", "PathLike", "Segment"]
