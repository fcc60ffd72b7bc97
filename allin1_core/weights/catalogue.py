"""The models that the core knows, read from ``catalogue.toml``."""

from __future__ import annotations

import statistics
import sys
from importlib.resources import files

from allin1_core.contracts.model import ModelCard, WeightsFile

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def catalogue() -> tuple[ModelCard, ...]:
    """The ensemble ``harmonix-all``, then its members ``harmonix-fold0`` to ``harmonix-fold7``.

    The ensemble's threshold is the mean of its members', as in the package allin1 1.1.0.
    """
    text = files(__package__).joinpath("catalogue.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    folds = []
    for number, fold in enumerate(table["folds"]):
        file = table["file"].format(fold=number)
        urls = tuple(table["url"].format(commit=commit, file=file) for commit in table["commits"])
        folds.append(
            ModelCard(
                name=table["name"].format(fold=number),
                summary=table["summary"].format(fold=number),
                files=(WeightsFile(file, fold["sha256"], fold["size"], urls),),
                downbeat_threshold=fold["downbeat_threshold"],
                licence=table["licence"],
                source=table["source"],
                context_frames=table["context_frames"],
            )
        )
    ensemble = ModelCard(
        name=table["ensemble"]["name"],
        summary=table["ensemble"]["summary"],
        files=tuple(file for fold in folds for file in fold.files),
        downbeat_threshold=statistics.fmean(fold.downbeat_threshold for fold in folds),
        licence=table["licence"],
        source=table["source"],
        context_frames=table["context_frames"],
    )
    return (ensemble, *folds)
