"""The models of the core's own catalogue, registered like any plugin's."""

from __future__ import annotations

from collections.abc import Iterable

from allin1_core.contracts.model import ModelCard
from allin1_core.markers import hookimpl


@hookimpl
def allin1_models() -> Iterable[ModelCard]:
    """Provide the ensemble of the eight folds, the folds, and the model of this package."""
    from allin1_core.weights.catalogue import catalogue

    return catalogue()
