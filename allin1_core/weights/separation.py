"""The files of separation models."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.model import SeparatorCard, WeightsContent
from allin1_core.errors import InputError, WeightsError
from allin1_core.paths import expanded
from allin1_core.weights.store import Progress, find_folders, is_here, read_weights

_ALTERNATIVE = "To analyse without separation, give separated stems (--stems-dir)."


def has_separator_weights(
    backend: Backend[Any],
    parameters: DemixParameters,
    separators: Mapping[str, SeparatorCard],
    weights_dir: str | os.PathLike[str] | None = None,
) -> bool:
    """Whether a backend can separate with these parameters without a download.

    Nothing is read or imported: an existing file may still be damaged.

    Parameters
    ----------
    backend
        A backend that covers the stage ``demix``.
    parameters
        Parameters of the separation.
    separators
        Cards of separators by name.
    weights_dir
        As for :func:`~allin1_core.weights.store.find_folders`.
    """
    if not backend.separators or parameters.random_seed is not None:
        return True
    if parameters.weights is not None:
        return expanded(parameters.weights).is_dir()
    card = separators.get(parameters.model)
    return (
        card is not None
        and parameters.model in backend.separators
        and is_here(card, find_folders(weights_dir))
    )


def read_separator(
    name: str,
    separators: Mapping[str, SeparatorCard],
    *,
    weights_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
    progress: Progress | None = None,
) -> tuple[WeightsContent, ...]:
    """Read and verify the files of the separation model `name`; download missing ones.

    Parameters
    ----------
    name
        Name of the model.
    separators
        Cards of separators by name.
    weights_dir, download, progress
        As for :func:`~allin1_core.weights.load.load_model`.

    Raises
    ------
    InputError
        There is no model of this name.
    WeightsError
        A file is damaged, or cannot be obtained.
    """
    card = separators.get(name)
    if card is None:
        raise InputError(
            f"There is no separation model called {name}.",
            remedy=f"Available: {', '.join(separators) or 'none'}. Or give a folder with its files (--demucs-weights).",
        )
    try:
        found = read_weights(
            card, find_folders(weights_dir), allow_download=download, progress=progress
        )
    except WeightsError as error:
        raise WeightsError(
            error.message, remedy=f"{error.remedy} {_ALTERNATIVE}", path=error.path
        ) from error
    return tuple(WeightsContent(file.path.name, file.content) for file in found)
