"""Where the models come from, and the errors if they are missing. Nothing is downloaded."""

from __future__ import annotations

import glob
import json
import re
from fractions import Fraction

import pytest
import torch
import yaml
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.model import WeightsContent
from allin1_core.errors import InputError, WeightsError

pytest.importorskip("demucs", reason="needs Demucs: install allin1-torch[demucs]")

from demucs import hf, pretrained
from demucs.htdemucs import HTDemucs

from allin1_backend_torch import demix_models
from allin1_backend_torch.demix_models import load_bag
from allin1_backend_torch.demucs_catalogue import NAMES, separators

SIZES = {"channels": 8, "bottom_channels": 16, "t_layers": 1, "t_heads": 2}
SOURCES = ["drums", "bass", "other", "vocals"]


def small(seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return HTDemucs(SOURCES, segment=Fraction(1, 2), **SIZES)


def save(folder, signature, model, kind):
    if kind == "safetensors":
        from safetensors.torch import save_file

        segment = {"_type": "fraction", "numerator": 1, "denominator": 2}
        metadata = {
            "klass": "demucs.htdemucs.HTDemucs",
            "args": json.dumps([SOURCES]),
            "kwargs": json.dumps({**SIZES, "segment": segment}),
        }
        save_file(model.state_dict(), folder / f"{signature}.safetensors", metadata)
        return
    args, kwargs = model._init_args_kwargs
    package = {"klass": HTDemucs, "args": args, "kwargs": kwargs, "state": model.state_dict()}
    torch.save(package, folder / f"{signature}.th")


def same(one, other):
    return all(
        torch.equal(a, b)
        for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("kind", ["safetensors", "th"])
def test_a_folder_with_the_model_s_file_is_enough(tmp_path, kind):
    model = small(1)
    save(tmp_path, "955717e8", model, kind)
    bag = load_bag(DemixParameters(weights=str(tmp_path)))
    assert same(bag.models[0], model)
    assert bag.weights == ((1.0,) * 4,)
    assert bag.sources == tuple(SOURCES)
    assert not bag.models[0].training


def test_a_bag_in_a_folder_has_its_own_recipe(tmp_path):
    models = [small(1), small(2)]
    for signature, model in zip(("aaaa", "bbbb"), models, strict=True):
        save(tmp_path, signature, model, "th")
    recipe = "models: ['bbbb', 'aaaa']\nweights: [[1, 0, 0, 1], [0, 1, 1, 1]]\nsegment: 0.25\n"
    (tmp_path / "mine.yaml").write_text(recipe)
    bag = load_bag(DemixParameters("mine", str(tmp_path)))
    assert same(bag.models[0], models[1])
    assert bag.weights == ((1, 0, 0, 1), (0, 1, 1, 1))
    assert bag.models[0].segment == 0.25


def test_a_single_model_is_named_by_its_signature(tmp_path):
    model = small(3)
    save(tmp_path, "cccc", model, "th")
    assert same(load_bag(DemixParameters("cccc", str(tmp_path))).models[0], model)


def test_missing_files_are_named_with_the_folder(tmp_path):
    with pytest.raises(WeightsError) as caught:
        load_bag(DemixParameters("htdemucs_ft", str(tmp_path)))
    text = str(caught.value)
    assert str(tmp_path) in text
    for signature in ("f7e0c4bc", "d12395a8", "92cfc3b6", "04573f0d"):
        assert f"{signature}.safetensors or {signature}-" in text, text
    assert "--stems-dir" in text


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(WeightsError, match="does not exist"):
        load_bag(DemixParameters(weights=str(tmp_path / "nowhere")))


@pytest.mark.parametrize("name", ["955717e8.safetensors", "955717e8.th", "955717e8-12345678.th"])
def test_a_damaged_file_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"no model at all")
    with pytest.raises(WeightsError, match="cannot be loaded") as caught:
        load_bag(DemixParameters(weights=str(tmp_path)))
    assert name in str(caught.value)


def test_an_invalid_recipe_is_named(tmp_path):
    for text in ("[", "weights: []", "models: x", "models: ['../x']", "[" * 5000):
        (tmp_path / "htdemucs.yaml").write_text(text)
        with pytest.raises(WeightsError, match="Not a bag of models"):
            load_bag(DemixParameters(weights=str(tmp_path)))


def test_a_published_model_is_loaded_from_the_files_that_the_core_provides(tmp_path):
    models = [small(seed) for seed in range(4)]
    contents = []
    for number, model in enumerate(models):
        save(tmp_path, f"n{number}", model, "safetensors")
        path = tmp_path / f"n{number}.safetensors"
        contents.append(WeightsContent(path.name, path.read_bytes()))
    bag = load_bag(DemixParameters("htdemucs_ft"), lambda: contents)
    assert all(same(one, model) for one, model in zip(bag.models, models, strict=True))
    assert bag.weights == tuple(tuple(float(i == j) for j in range(4)) for i in range(4))
    with pytest.raises(WeightsError, match="are inconsistent"):
        load_bag(DemixParameters("htdemucs_ft"), lambda: contents[:3])
    with pytest.raises(WeightsError, match="were not given"):
        load_bag(DemixParameters())


def test_a_failed_download_is_reported(tmp_path):
    def refuse():
        raise WeightsError("no network", remedy="Give stems.")

    with pytest.raises(WeightsError, match="no network"):
        load_bag(DemixParameters(), refuse)


@pytest.mark.parametrize("name", NAMES)
def test_the_files_of_a_published_model_are_in_the_order_of_demucs_recipe(name):
    (card,) = [card for card in separators() if card.name == name]
    recipe = yaml.safe_load((pretrained.REMOTE_ROOT / f"{name}.yaml").read_text())
    assert [
        file.name.partition("-")[0].removesuffix(".safetensors") for file in card.files
    ] == recipe["models"]
    listed = pretrained._parse_remote_files(pretrained.REMOTE_ROOT / "files.txt")
    for file in card.files:
        older = file.alternatives[0] if file.alternatives else file
        assert older.urls == (listed[older.name.partition("-")[0]],)
        # Demucs checks the digits in a name against the beginning of the SHA-256.
        digits = older.name.removesuffix(".th").partition("-")[2]
        assert not older.sha256 or older.sha256.startswith(digits)
        for url in file.urls if file.alternatives else ():
            assert re.fullmatch(
                rf"https://huggingface.co/adefossez/{hf.hf_repo_name(name)}/resolve/[0-9a-f]{{40}}/{file.name}",
                url,
            )


def test_files_in_the_cache_of_demucs_are_found(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    card = next(separators())
    snapshot = tmp_path / "hf/hub/models--adefossez--HTDemucs/snapshots/abc/955717e8.safetensors"
    older = tmp_path / "torch/hub/checkpoints/955717e8-8726e21a.th"
    (file,) = card.files
    assert not any(glob.glob(pattern) for pattern in file.places)  # noqa: PTH207
    for path in (snapshot, older):
        path.parent.mkdir(parents=True)
        path.touch()
    assert [glob.glob(pattern) for pattern in file.places] == [[str(snapshot)]]  # noqa: PTH207
    assert file.alternatives[0].places == (str(older),)


def test_a_model_without_the_four_stems_is_refused():
    model = HTDemucs(["vocals", "rest"], segment=Fraction(1, 2), **SIZES)
    with pytest.raises(WeightsError, match="separates vocals, rest at 44100 Hz"):
        demix_models.bag_of(model)


@pytest.fixture
def smaller(monkeypatch):
    monkeypatch.setattr(demix_models, "HTDEMUCS", {**SIZES, "segment": Fraction(39, 5)})


def test_random_weights_follow_their_seed(smaller):
    one, same_one, other = (load_bag(DemixParameters(weights=f"random:{n}")) for n in (1, 1, 2))
    assert same(one.models[0], same_one.models[0])
    assert not same(one.models[0], other.models[0])


def test_random_bags_have_the_published_number_of_models_and_sources(smaller):
    fine = load_bag(DemixParameters("htdemucs_ft", "random:1"))
    assert len(fine.models) == 4
    assert not same(fine.models[0], fine.models[1])
    assert fine.weights[2] == (0, 0, 1, 0)
    assert load_bag(DemixParameters("htdemucs_6s", "random:1")).sources[4:] == ("guitar", "piano")
    with pytest.raises(InputError, match="no random weights"):
        load_bag(DemixParameters("mdx", "random:1"))
