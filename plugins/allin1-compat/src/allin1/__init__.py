"""The module ``allin1``, with the names of the original package, on top of :mod:`allin1_core`.

Programs that import the original run unchanged. :mod:`allin1_core` documents the functions and their additional
parameters.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def _refuse_the_original() -> None:
    try:
        original = version("allin1")
    except PackageNotFoundError:
        return
    raise ImportError(
        f"allin1-compat and the original allin1 {original} are both installed, and both provide the module allin1."
        " Keep one of them: pip uninstall -y allin1 allin1-compat, and then pip install the one that you want."
    )


_refuse_the_original()

from allin1_core import (  # noqa: E402 - only where the module is ours
    HARMONIX_LABELS,
    AnalysisResult,
    Segment,
    analyze,
    load_result,
    sonify,
    visualize,
)

__version__ = version("allin1-compat")

__all__ = [
    "HARMONIX_LABELS",
    "AnalysisResult",
    "Segment",
    "__version__",
    "analyze",
    "load_result",
    "sonify",
    "visualize",
]
