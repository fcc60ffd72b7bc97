"""The error that there is no route, with an explanation like that of a decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from allin1_core.contracts.route import RouteRequest
from allin1_core.contracts.stages import Stage
from allin1_core.errors import SelectionError
from allin1_core.selection.candidate import Candidate
from allin1_core.selection.describing import (
    candidates_lines,
    candidates_values,
    request_lines,
    request_values,
)


class NoRouteError(SelectionError):
    """No route leads through the stages of a request.

    Attributes
    ----------
    explanation
        The request, and every backend that was considered, with the reason why it was excluded, as text.
    values
        The same as values that can be written as JSON. Both are empty in other processes.
    """

    explanation: str = ""
    values: Mapping[str, Any] = {}

    @classmethod
    def of(
        cls,
        error: SelectionError,
        request: RouteRequest,
        candidates: Mapping[Stage, Sequence[Candidate]],
    ) -> NoRouteError:
        """Add the request, and what was considered, to `error`."""
        new = cls(error.message, remedy=error.remedy)
        lines = [*request_lines(request), "route      none", "", *candidates_lines(candidates, ())]
        new.explanation = "\n".join(lines)
        new.values = {
            **request_values(request),
            "route": None,
            "trouble": {"message": error.message, "remedy": error.remedy},
            "stages": candidates_values(candidates, ()),
        }
        return new
