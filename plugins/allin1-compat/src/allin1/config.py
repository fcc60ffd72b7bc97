"""The labels, in the module where the original has them."""

from allin1_core.contracts.logits import HARMONIX_LABELS

__all__ = ["HARMONIX_LABELS"]
