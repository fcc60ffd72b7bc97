"""References that people annotated, and how well a result agrees with them."""

from allin1_core.evaluation.readers import read_reference
from allin1_core.evaluation.reference import Reference
from allin1_core.evaluation.scoring import Scores, score

__all__ = ["Reference", "Scores", "read_reference", "score"]
