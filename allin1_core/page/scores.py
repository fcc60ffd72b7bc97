"""How well results of the same song agree, by mir_eval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from allin1_core.page.content import Version

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def score_versions(versions: Sequence[Version]) -> dict[str, Any] | None:
    """Compare results with the first of them.

    Returns
    -------
    dict or None
        ``names`` of the results and ``rows``, each a measure with a value for each result but the first; None with one
        result, or without mir_eval.
    """
    if len(versions) < 2:
        return None
    try:
        import mir_eval
        import numpy as np
    except ImportError:
        return None
    reference, others = versions[0].result, [version.result for version in versions[1:]]

    def f_measure(name: str) -> list[float | str]:
        wanted = np.array(getattr(reference, name), float)
        found = [np.array(getattr(other, name), float) for other in others]
        if not len(wanted):
            return ["" for _ in found]
        return [
            float(mir_eval.beat.f_measure(wanted, times)) if len(times) else 0.0 for times in found
        ]

    def boundaries(window: float) -> list[float | str]:
        if not reference.segments or not all(other.segments for other in others):
            return ["" for _ in others]
        wanted = _intervals(reference.segments)
        return [
            float(mir_eval.segment.detection(wanted, _intervals(other.segments), window)[2])
            for other in others
        ]

    return {
        "names": [version.name for version in versions],
        "rows": [
            ["beats, F", *f_measure("beats")],
            ["downbeats, F", *f_measure("downbeats")],
            ["boundaries within 0.5 s, F", *boundaries(0.5)],
            ["boundaries within 3 s, F", *boundaries(3.0)],
        ],
    }


def _intervals(segments: Sequence[Any]) -> NDArray[np.float64]:
    import numpy as np

    return np.array([[one.start, one.end] for one in segments], float)
