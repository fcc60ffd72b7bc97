"""The model of this package: its files, its versions, and the script that puts them there."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from allin1_core.contracts.metre import TempoPrior
from allin1_core.contracts.model import ModelCard, WeightsFile
from allin1_core.contracts.rules import find_fault
from allin1_core.errors import SelectionError, WeightsError
from allin1_core.reference.network_parameters import parameter_shapes
from allin1_core.weights import catalogue as module
from allin1_core.weights.catalogue import BUILTIN, builtin_cards, catalogue
from allin1_core.weights.find import find_card
from allin1_core.weights.load import load_model
from allin1_core.weights.store import find_folders, locate, read_weights

CARDS = {c.name: c for c in catalogue() if c.takes == "mix" and "@" not in c.name}

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "builtin_weights.py"


def test_the_mean_has_the_files_of_its_members_in_order():
    members = [card for name, card in CARDS.items() if name != "builtin"]
    assert [card.name for card in members] == [f"builtin-{k}" for k in range(len(members))]
    assert CARDS["builtin"].files == tuple(card.files[0] for card in members)
    assert len(members) >= 2
    for card in CARDS.values():
        assert card.architecture == "all-in-one"
        assert card.version
        assert card.licence.startswith("MIT")
        assert all(file.package == BUILTIN and not file.urls for file in card.files)
        assert card.tempo_prior is not None
        assert find_fault(card, ModelCard) is None


def test_it_loads_without_any_download_as_float32():
    model = load_model(CARDS["builtin"], download=False)
    assert len(model.members) == len(CARDS["builtin"].files)
    shapes = parameter_shapes()
    for member in model.members:
        assert {name: array.shape for name, array in member.items()} == shapes
        assert all(array.dtype == np.float32 for array in member.values())
        assert all(np.isfinite(array).all() for array in member.values())
        assert not any(array.flags.writeable for array in member.values())


def test_a_copy_in_a_folder_that_the_user_named_does_not_matter(tmp_path, monkeypatch):
    (tmp_path / "builtin-0.npz").write_bytes(b"of an earlier version")
    monkeypatch.setenv("ALLIN1_WEIGHTS_DIR", str(tmp_path))
    (found,) = read_weights(CARDS["builtin-0"], find_folders(tmp_path), allow_download=False)
    assert found.damage is None
    assert found.path.parent.name == "builtin"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a folder of weights, and a card of the file in it."""
    folder = tmp_path / "package_of_a_test" / "weights"
    folder.mkdir(parents=True)
    for each in (folder.parent, folder):
        (each / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    content = (Path(str(locate(CARDS["builtin-0"].files[0], find_folders())))).read_bytes()
    (folder / "mine.npz").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    file = WeightsFile("mine.npz", digest, len(content), package="package_of_a_test.weights")
    yield folder / "mine.npz", ModelCard("mine", "", (file,), 0.24, "MIT", "tests", takes="mix")
    for name in [name for name in sys.modules if name.startswith("package_of_a_test")]:
        del sys.modules[name]


def test_a_plugin_may_bring_weights_in_its_package(package):
    path, card = package
    (found,) = read_weights(card, find_folders(), allow_download=False)
    assert found.path == path


def test_what_is_damaged_or_missing_in_a_package_is_to_be_installed_again(package, cache):
    path, card = package
    path.write_bytes(b"half")
    with pytest.raises(WeightsError, match="Truncated") as caught:
        load_model(card)
    assert "Reinstall" in str(caught.value.remedy)
    assert caught.value.path == str(path)
    path.unlink()
    with pytest.raises(
        WeightsError, match=r"mine.npz is missing from the installed package"
    ) as caught:
        load_model(card)
    assert "Reinstall" in str(caught.value.remedy)
    elsewhere = replace(card, files=(replace(card.files[0], package="no_such_package.weights"),))
    with pytest.raises(WeightsError, match=r"missing from the installed package no_such_package"):
        load_model(elsewhere)
    assert not cache.exists()


EARLIER = {
    "version": "0.0.1",
    "summary": "An earlier one",
    "downbeat_threshold": 0.3,
    "tempo_prior": {"bpm": 100.0, "octaves": 1.0, "strength": 0.1},
    "source": "tests",
    "licence": "MIT",
    "context_frames": 8213,
}


def test_an_earlier_version_is_named_and_fetched(server, contents, monkeypatch):
    for k in range(2):
        server.answer(f"/v0.0.1/builtin-{k}.npz", body=contents[k])
    members = [{"sha256": hashlib.sha256(c).hexdigest(), "size": len(c)} for c in contents[:2]]
    version = {
        **EARLIER,
        "members": members,
        "urls": [server.url("/v0.0.1/builtin-{member}.npz")],
    }
    cards = (*CARDS.values(), *builtin_cards(version, is_current=False))
    names = [card.name for card in cards[len(CARDS) :]]
    assert names == ["builtin@0.0.1", "builtin-0@0.0.1", "builtin-1@0.0.1"]
    assert all(find_fault(card, ModelCard) is None for card in cards)
    card = find_card("builtin@0.0.1", cards)
    assert (card.version, card.downbeat_threshold, card.takes) == ("0.0.1", 0.3, "mix")
    assert card.tempo_prior == TempoPrior(100.0, 1.0, 0.1)
    model = load_model(card)
    assert len(model.members) == 2
    # Beside the current one's, whose files have other names.
    assert {f.name for f in card.files}.isdisjoint(f.name for f in CARDS["builtin"].files)
    assert load_model(card, download=False).members[1].keys() == model.members[1].keys()


def test_version_1_0_is_known_and_its_files_lie_with_the_trainer(monkeypatch):
    card = find_card("builtin@1.0", catalogue())
    assert [file.name for file in card.files] == [f"builtin-{k}@1.0.npz" for k in range(3)]
    assert (card.downbeat_threshold, card.transition_lambda) == (0.24, 200.0)
    with pytest.raises(WeightsError, match=r"Put builtin-0@1\.0\.npz"):
        load_model(card, download=False)
    folder = ROOT / "plugins" / "allin1-train" / "training"
    if not folder.is_dir():
        pytest.skip("needs the repository")
    monkeypatch.setenv("ALLIN1_WEIGHTS_DIR", str(folder))
    assert len(load_model(card, download=False).members) == 3


def test_the_current_version_may_be_named_too_and_others_are_unknown():
    card = CARDS["builtin"]
    assert find_card(f"builtin@{card.version}", CARDS.values()) is card
    with pytest.raises(SelectionError, match="Did you mean builtin"):
        find_card("builtin@999", CARDS.values())
    with pytest.raises(SelectionError):
        find_card("harmonix-all@1", catalogue())


def test_a_version_in_the_catalogue_after_the_first_is_an_earlier_one(tmp_path, monkeypatch):
    text = Path(module.__file__).with_name("catalogue.toml").read_text(encoding="utf-8")
    head, mark, tables = text.partition("[[builtin]]\n")
    table = tables.partition(mark)[0]
    later = table.replace("members = [", 'urls = ["https://example.org/{member}"]\nmembers = [')
    now = table.replace(f'version = "{CARDS["builtin"].version}"', 'version = "99.0"')
    (tmp_path / "catalogue.toml").write_text(f"{head}{mark}{now}\n{mark}{later}", encoding="utf-8")
    monkeypatch.setattr(module, "files", lambda package: tmp_path)
    cards = {card.name: card for card in catalogue()}
    old = CARDS["builtin"].version
    assert cards["builtin"].version == "99.0"
    assert cards[f"builtin-1@{old}"].files[0].urls == ("https://example.org/1",)
    assert cards[f"builtin-1@{old}"].files[0].sha256 == CARDS["builtin-1"].files[0].sha256


def test_the_script_writes_files_and_digests_that_belong_together(tmp_path, monkeypatch, capsys):
    if not SCRIPT.exists():
        pytest.skip("the script is not part of a distribution")
    weights = Path(module.__file__).parent
    (tmp_path / "builtin").mkdir()
    shutil.copy(weights / "catalogue.toml", tmp_path)
    (tmp_path / "builtin" / "builtin-7.npz").write_bytes(b"left over")
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(100).astype(np.float32) for _ in range(3)]
    for k, array in enumerate(values):
        np.savez(tmp_path / f"trained{k}.npz", bias=array)
    spec = importlib.util.spec_from_file_location("builtin_weights", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    paths = [str(tmp_path / f"trained{k}.npz") for k in range(3)]
    arguments = ["--version", "2.5", "--weights", str(tmp_path), *paths]
    monkeypatch.setattr(sys, "argv", ["builtin_weights.py", *arguments])
    script.main()
    assert "3 members" in capsys.readouterr().out
    monkeypatch.setattr(module, "files", lambda package: tmp_path)
    card = find_card("builtin", catalogue())
    assert card.version == "2.5"
    made = sorted(path.name for path in (tmp_path / "builtin").iterdir())
    assert made == [file.name for file in card.files]
    for file, array in zip(card.files, values, strict=True):
        content = (tmp_path / "builtin" / file.name).read_bytes()
        assert (file.sha256, file.size) == (hashlib.sha256(content).hexdigest(), len(content))
        with np.load(io.BytesIO(content)) as archive:
            np.testing.assert_array_equal(archive["bias"], array.astype(np.float16))
    np.savez(tmp_path / "large.npz", bias=np.full(3, 1e6, np.float32))
    monkeypatch.setattr(sys, "argv", ["x", "--version", "3", str(tmp_path / "large.npz")])
    with pytest.raises(SystemExit, match="not finite as float16: bias"):
        script.main()
