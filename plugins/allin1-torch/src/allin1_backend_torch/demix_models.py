"""Demucs models: from published files, from a folder, or with seeded random weights."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
import yaml
from allin1_core.contracts.audio import SAMPLE_RATE, STEMS
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.model import WeightsContent
from allin1_core.errors import InputError, WeightsError, brief
from demucs import pretrained
from demucs.apply import BagOfModels
from demucs.htdemucs import HTDemucs

from allin1_backend_torch.demucs_catalogue import file_names
from allin1_backend_torch.demucs_files import read_network

#: Sources of Demucs' models in their order, and the additional ones of ``htdemucs_6s``.
SOURCES, MORE_SOURCES = ("drums", "bass", "other", "vocals"), ("guitar", "piano")

#: Arguments of ``htdemucs`` that differ from the defaults of its class.
HTDEMUCS = {"bottom_channels": 512, "t_layers": 5, "dconv_mode": 3, "segment": Fraction(39, 5)}

#: Valid name of a network in a recipe: the start of a file name, and not a path.
_SIGNATURE = re.compile(r"[A-Za-z0-9_]{1,64}")

_ALTERNATIVE = "To analyse without Demucs, give separated stems (--stems-dir)."


@dataclass(frozen=True, eq=False)
class Bag:
    """Models whose estimates are averaged.

    Attributes
    ----------
    models
        Demucs' modules, on the CPU, in evaluation mode.
    weights
        For each model, the weight of its estimate of each source.
    sources
        Names of the sources, in the order of the models.
    """

    models: tuple[Any, ...]
    weights: tuple[tuple[float, ...], ...]
    sources: tuple[str, ...]


def load_bag(
    parameters: DemixParameters, files: Callable[[], Sequence[WeightsContent]] | None = None
) -> Bag:
    """Load the models for `parameters`.

    Parameters
    ----------
    parameters
        Parameters of the separation.
    files
        Returns the verified files of the model, if `parameters` do not name a folder.

    Raises
    ------
    WeightsError
        Files are missing, damaged, cannot be downloaded, would run code, or are not those of a separator of the four
        stems.
    InputError
        Random weights are requested for a model of unknown architecture.
    """
    name, weights = parameters.model, parameters.weights
    seed = parameters.random_seed
    if seed is not None:
        model = _random(name, seed)
    elif weights is not None:
        model = _from_folder(name, Path(weights).expanduser(), trust=parameters.trust_weights)
    elif files is not None:
        model = _of_files(name, files(), trust=parameters.trust_weights)
    else:
        raise WeightsError(
            f"The files of the Demucs model {name} were not given.",
            remedy="Give a folder with them: DemixParameters.weights.",
        )
    return bag_of(model, name)


def bag_of(model: Any, name: str = "given") -> Bag:
    """Create a bag from one of Demucs' modules, or from a bag of Demucs."""
    model.eval()
    if isinstance(model, BagOfModels):
        models, weights = tuple(model.models), tuple(tuple(each) for each in model.weights)
    else:
        models, weights = (model,), (tuple(1.0 for _ in model.sources),)
    missing = [stem for stem in STEMS if stem not in model.sources]
    if missing or model.samplerate != SAMPLE_RATE or model.audio_channels != 2:
        raise WeightsError(
            f"The Demucs model {name} separates {', '.join(model.sources)} at {model.samplerate} Hz with"
            f" {model.audio_channels} channels; {', '.join(STEMS)} at {SAMPLE_RATE} Hz in stereo are required.",
            remedy="Use htdemucs, for example.",
        )
    return Bag(models, weights, tuple(model.sources))


def _of_files(name: str, files: Sequence[WeightsContent], *, trust: bool) -> Any:
    """Assemble the networks of a published model."""
    models = [read_network(file.content, file.name, trust=trust) for file in files]
    return _bag(models, _recipe(name, pretrained.REMOTE_ROOT), name)


def _from_folder(name: str, folder: Path, *, trust: bool) -> Any:
    """Load the files of a model from a folder: .safetensors, or .th as in older releases of Demucs."""
    if not folder.is_dir():
        raise WeightsError(
            "This folder of Demucs weights does not exist.", path=folder, remedy=_ALTERNATIVE
        )
    recipe = _recipe(name, folder, pretrained.REMOTE_ROOT)
    files = {signature: _find(folder, signature) for signature in recipe["models"]}
    missing = [
        " or ".join(file_names(signature)) for signature, file in files.items() if file is None
    ]
    if missing:
        raise WeightsError(
            f"This folder does not contain {' and '.join(missing)} of the Demucs model {name}.",
            path=folder,
            remedy=f"Put the files there, or give another folder. {_ALTERNATIVE}",
        )
    models = [_read(file, trust=trust) for file in files.values() if file is not None]
    return _bag(models, recipe, name)


def _bag(models: list[Any], recipe: dict[str, Any], name: str) -> Any:
    try:
        return BagOfModels(models, recipe.get("weights"), recipe.get("segment"))
    except (AssertionError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"The networks of the Demucs model {name} are inconsistent with each other or with its recipe.",
            remedy=f"Give a folder with all files of one model. {_ALTERNATIVE}",
        ) from error


def _random(name: str, seed: int) -> Any:
    known = sorted(path.stem for path in pretrained.REMOTE_ROOT.glob("htdemucs*.yaml"))
    if name not in known:
        raise InputError(
            f"There are no random weights for the Demucs model {name}.",
            remedy=f"Use one of {', '.join(known)}.",
        )
    recipe = _recipe(name, pretrained.REMOTE_ROOT)
    sources = [*SOURCES, *(MORE_SOURCES if name == "htdemucs_6s" else ())]
    with torch.random.fork_rng(devices=[]):  # preserves the caller's random state
        torch.default_generator.manual_seed(seed)
        models = [HTDemucs(sources, **HTDEMUCS) for _ in recipe["models"]]
    return BagOfModels(models, recipe.get("weights"), recipe.get("segment"))


def _recipe(name: str, *folders: Path) -> dict[str, Any]:
    """Read the recipe of the model `name`: the signatures of a bag, or `name` itself as a signature."""
    for folder in folders:
        path = folder / f"{name}.yaml"
        if path.is_file():
            try:
                recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
            except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
                raise WeightsError(f"Not a bag of models: {brief(error)}.", path=path) from error
            models = recipe.get("models") if isinstance(recipe, dict) else None
            if not isinstance(models, list) or not models:
                raise WeightsError("Not a bag of models: it contains none.", path=path)
            if not all(_SIGNATURE.fullmatch(str(each)) for each in models):
                raise WeightsError(
                    "Not a bag of models: its names are not those of files.", path=path
                )
            return {**recipe, "models": [str(each) for each in models]}
    return {"models": [name]}


def _find(folder: Path, signature: str) -> Path | None:
    for pattern in (f"{signature}.safetensors", f"{signature}.th", f"{signature}-*.th"):
        for path in sorted(folder.glob(pattern)):
            return path
    return None


def _read(path: Path, *, trust: bool) -> Any:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"Cannot be read: {error.strerror or error}.",
            path=path,
            remedy="Make the file readable, or give another folder.",
        ) from error
    _, _, digits = path.stem.partition("-")
    # This is not a proof of authenticity, but detects damaged files.
    if digits and not hashlib.sha256(content).hexdigest().startswith(digits):
        raise WeightsError(
            f"The Demucs model in this file cannot be loaded: its SHA-256 does not start with {digits}, as in its name.",
            path=path,
            remedy="Download it again.",
        )
    try:
        return read_network(content, path.name, trust=trust)
    except WeightsError as error:
        raise WeightsError(error.message, remedy=error.remedy, path=path) from error
