"""Demucs models: by name through Demucs itself, from a folder, or with seeded random weights."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
import yaml
from allin1_core.contracts.audio import SAMPLE_RATE, STEMS
from allin1_core.contracts.demix import DemixParameters
from allin1_core.errors import InputError, WeightsError
from demucs import hf, pretrained, repo, states
from demucs.apply import BagOfModels
from demucs.htdemucs import HTDemucs

#: Sources of Demucs' models in their order; those of ``htdemucs_6s`` that come after them.
SOURCES, MORE_SOURCES = ("drums", "bass", "other", "vocals"), ("guitar", "piano")

#: What of ``htdemucs`` differs from the defaults of its class.
HTDEMUCS = {"bottom_channels": 512, "t_layers": 5, "dconv_mode": 3, "segment": Fraction(39, 5)}

_GO_ON_WITHOUT = "To go on without Demucs, give separated stems (--stems-dir)."


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
        Names of the sources, in the models' order.
    """

    models: tuple[Any, ...]
    weights: tuple[tuple[float, ...], ...]
    sources: tuple[str, ...]


def load_bag(parameters: DemixParameters) -> Bag:
    """Load the models that `parameters` ask for.

    Raises
    ------
    WeightsError
        If their files are missing, damaged, cannot be fetched, or are not of a separator that gives the four stems.
    InputError
        If random weights are asked for a model whose architecture is not known here.
    """
    name, weights = parameters.model, parameters.weights
    seed = parameters.random_seed
    if seed is not None:
        model = _random(name, seed)
    elif weights is not None:
        model = _from_folder(name, Path(weights).expanduser())
    else:
        model = _by_name(name)
    return bag_of(model, name)


def bag_of(model: Any, name: str = "given") -> Bag:
    """Make a bag of one of Demucs' modules, or of Demucs' own bag of them."""
    model.eval()
    if isinstance(model, BagOfModels):
        models, weights = tuple(model.models), tuple(tuple(each) for each in model.weights)
    else:
        models, weights = (model,), (tuple(1.0 for _ in model.sources),)
    missing = [stem for stem in STEMS if stem not in model.sources]
    if missing or model.samplerate != SAMPLE_RATE or model.audio_channels != 2:
        raise WeightsError(
            f"The Demucs model {name} gives {', '.join(model.sources)} at {model.samplerate} Hz with"
            f" {model.audio_channels} channels; wanted {', '.join(STEMS)} at {SAMPLE_RATE} Hz, stereo.",
            remedy="Use htdemucs, which does.",
        )
    return Bag(models, weights, tuple(model.sources))


def _by_name(name: str) -> Any:
    """Let Demucs find the model in its caches or fetch it."""
    try:
        return pretrained.get_model(name)
    except (Exception, SystemExit) as error:  # Demucs ends the process where a package is missing
        signatures = _recipe(name, pretrained.REMOTE_ROOT)["models"]
        files = " and ".join(_file_names(each) for each in signatures)
        cache = Path(torch.hub.get_dir()) / "checkpoints"
        raise WeightsError(
            f"The Demucs model {name} is not on this machine and could not be fetched"
            f" ({_first_line(error)}).",
            remedy=f"Put {files} into a folder and name that (--demucs-weights FOLDER); .th files are also"
            f" found in {cache}. The .safetensors files are at"
            f" https://huggingface.co/{hf.DEFAULT_NAMESPACE}/{hf.hf_repo_name(name)}, the .th files under"
            f" {pretrained.ROOT_URL}. {_GO_ON_WITHOUT}",
        ) from error


def _from_folder(name: str, folder: Path) -> Any:
    """Load a model's files from a folder: .safetensors, or .th as Demucs' older releases have them."""
    if not folder.is_dir():
        raise WeightsError(
            "This folder of Demucs weights does not exist.", path=folder, remedy=_GO_ON_WITHOUT
        )
    recipe = _recipe(name, folder, pretrained.REMOTE_ROOT)
    files = {signature: _find(folder, signature) for signature in recipe["models"]}
    missing = [_file_names(signature) for signature, file in files.items() if file is None]
    if missing:
        raise WeightsError(
            f"This folder lacks {' and '.join(missing)}, of the Demucs model {name}.",
            path=folder,
            remedy=f"Put them there, or name another folder. {_GO_ON_WITHOUT}",
        )
    models = [_read(file) for file in files.values() if file is not None]
    return BagOfModels(models, recipe.get("weights"), recipe.get("segment"))


def _random(name: str, seed: int) -> Any:
    known = sorted(path.stem for path in pretrained.REMOTE_ROOT.glob("htdemucs*.yaml"))
    if name not in known:
        raise InputError(
            f"There are no random weights for the Demucs model {name}.",
            remedy=f"There are for {', '.join(known)}.",
        )
    recipe = _recipe(name, pretrained.REMOTE_ROOT)
    sources = [*SOURCES, *(MORE_SOURCES if name == "htdemucs_6s" else ())]
    with torch.random.fork_rng(devices=[]):  # and the caller's random numbers go on as before
        torch.default_generator.manual_seed(seed)
        models = [HTDemucs(sources, **HTDEMUCS) for _ in recipe["models"]]
    return BagOfModels(models, recipe.get("weights"), recipe.get("segment"))


def _recipe(name: str, *folders: Path) -> dict[str, Any]:
    """Read which models make up `name`: the signatures of a bag, or `name` itself as a signature."""
    for folder in folders:
        path = folder / f"{name}.yaml"
        if path.is_file():
            try:
                recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
            except yaml.YAMLError as error:
                raise WeightsError(
                    f"Not a bag of models: {_first_line(error)}.", path=path
                ) from error
            if not isinstance(recipe, dict) or not recipe.get("models"):
                raise WeightsError("Not a bag of models: it names none.", path=path)
            return recipe
    return {"models": [name]}


def _find(folder: Path, signature: str) -> Path | None:
    for pattern in (f"{signature}.safetensors", f"{signature}.th", f"{signature}-*.th"):
        for path in sorted(folder.glob(pattern)):
            return path
    return None


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return hf.load_safetensors_model(path)
        _, _, checksum = path.stem.partition("-")
        repo.check_checksum(path, checksum)
        return states.load_model(path)
    except (Exception, SystemExit) as error:  # whatever a damaged file makes the readers raise
        raise WeightsError(
            f"The Demucs model in this file cannot be loaded: {_first_line(error)}.",
            path=path,
            remedy="Fetch it again.",
        ) from error


def _file_names(signature: str) -> str:
    """Names under which a model is published: 955717e8.safetensors or 955717e8-8726e21a.th."""
    listed = (pretrained.REMOTE_ROOT / "files.txt").read_text(encoding="utf-8").split()
    older = [name for name in listed if name.startswith(f"{signature}-")]
    return " or ".join([f"{signature}.safetensors", *older])


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}".rstrip(".") if text else type(error).__name__
