"""Reading of results, in the module where the original has it."""

from allin1_core.io.results import load_result

__all__ = ["load_result"]
