"""Annotations, and the agreement of results with them."""

from allin1_core.evaluation.dataset import SongScores, compare, evaluate, means
from allin1_core.evaluation.readers import read_reference
from allin1_core.evaluation.reference import Reference
from allin1_core.evaluation.scoring import MEASURES, Scores, score

__all__ = [
    "MEASURES",
    "Reference",
    "Scores",
    "SongScores",
    "compare",
    "evaluate",
    "means",
    "read_reference",
    "score",
]
