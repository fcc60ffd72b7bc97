"""The models that the core knows, read from ``catalogue.toml``.

The trained models of all-in-one, which are downloaded, and the versions of the model ``builtin``: the files of the current
one are included in this package, those of earlier ones are downloaded.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from allin1_core.contracts.metre import DEFAULT_TRANSITION_LAMBDA, TempoPrior
from allin1_core.contracts.model import ModelCard, WeightsFile

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


#: Import name of the package that contains the files of ``builtin``.
BUILTIN = "allin1_core.weights.builtin"


def catalogue() -> tuple[ModelCard, ...]:
    """The ensembles ``harmonix-all`` and ``builtin``, each with its members after it, then earlier versions."""
    text = files(__package__).joinpath("catalogue.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    versions: list[dict[str, Any]] = table["builtin"]
    cards = list(harmonix_cards(table))
    for version in versions:
        cards += builtin_cards(version, is_current=version is versions[0])
    return tuple(cards)


def builtin_cards(version: dict[str, Any], *, is_current: bool) -> Iterator[ModelCard]:
    """The cards of one version of ``builtin``: the ensemble, then each member.

    The files of the current version are included in this package. Those of earlier ones have URLs with a placeholder
    ``{member}`` for the number of the member, and ``@version`` in their names.
    """
    number = version["version"]
    suffix = "" if is_current else f"@{number}"
    members = []
    for k, file in enumerate(version["members"]):
        urls = () if is_current else tuple(url.format(member=k) for url in version["urls"])
        package = BUILTIN if is_current else None
        name = f"builtin-{k}{suffix}.npz"
        members.append(WeightsFile(name, file["sha256"], file["size"], urls, package=package))
    everyone = ("", version["summary"], tuple(members))
    each = [
        (f"-{k}", f"{version['summary']}, member {k}", (file,)) for k, file in enumerate(members)
    ]
    for middle, summary, own in (everyone, *each):
        yield ModelCard(
            name=f"builtin{middle}{suffix}",
            summary=summary,
            files=own,
            downbeat_threshold=version["downbeat_threshold"],
            licence=version["licence"],
            source=version["source"],
            context_frames=version["context_frames"],
            tempo_prior=TempoPrior(**version["tempo_prior"]),
            transition_lambda=version.get("transition_lambda", DEFAULT_TRANSITION_LAMBDA),
            steady_phase=version.get("steady_phase", False),
            takes="mix",
            version=number,
        )


def harmonix_cards(table: dict[str, Any]) -> tuple[ModelCard, ...]:
    """The ensemble ``harmonix-all``, then its members ``harmonix-fold0`` to ``harmonix-fold7``.

    The threshold of the ensemble is the mean over its members, as in the package allin1 1.1.0.
    """
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
