"""Agreement of results of the same song."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from allin1_core.errors import InputError, PluginError
from allin1_core.page.content import Version


def score_versions(versions: Sequence[Version]) -> dict[str, Any] | None:
    """Compare results with the first of them.

    Returns
    -------
    dict or None
        ``names`` of the results and ``rows``, each a measure with a value for each result except the first, empty if it
        cannot be compared; None if there is only one result, or mir_eval is not installed or refuses the times.
    """
    if len(versions) < 2:
        return None
    from allin1_core.evaluation import MEASURES, compare

    first, *others = versions
    try:
        found = [compare(one.name, first.result, one.result).scores for one in others]
    except (InputError, PluginError):
        return None
    return {
        "names": [version.name for version in versions],
        "rows": [
            [title, *(scores.get(measure, "") for scores in found)]
            for measure, title in MEASURES.items()
            if any(measure in scores for scores in found)
        ],
    }
