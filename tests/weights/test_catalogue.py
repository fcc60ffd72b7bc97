from __future__ import annotations

import re
import statistics
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from allin1_core.errors import SelectionError
from allin1_core.weights.catalogue import catalogue
from allin1_core.weights.check import find_damage
from allin1_core.weights.find import find_card

CARDS = {card.name: card for card in catalogue() if card.takes == "stems"}
FOLDS = [CARDS[f"harmonix-fold{k}"] for k in range(8)]


def test_it_has_the_ensemble_and_its_eight_folds():
    assert list(CARDS) == ["harmonix-all", *(f"harmonix-fold{k}" for k in range(8))]


def test_the_ensemble_is_made_of_the_files_of_the_folds_in_order():
    assert CARDS["harmonix-all"].files == tuple(fold.files[0] for fold in FOLDS)
    names = [file.name for file in CARDS["harmonix-all"].files]
    assert names == [f"harmonix-fold{k}_mlx.npz" for k in range(8)]


def test_the_threshold_of_the_ensemble_is_the_mean_of_its_folds():
    assert CARDS["harmonix-all"].downbeat_threshold == 0.24
    assert statistics.fmean(fold.downbeat_threshold for fold in FOLDS) == 0.24


def test_every_file_has_a_digest_of_its_own_and_two_addresses_that_end_in_its_name():
    files = CARDS["harmonix-all"].files
    assert len({file.sha256 for file in files}) == 8
    for file in files:
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        parts = [urlsplit(url) for url in file.urls]
        assert [part.scheme for part in parts] == ["https", "https"]
        assert all(part.path.endswith(f"/mlx-weights/{file.name}") for part in parts)
        assert "{" not in "".join(file.urls)
        assert len(set(file.urls)) == 2


def test_every_card_states_both_facts_about_the_licence():
    for card in CARDS.values():
        assert "MIT" in card.licence
        assert "CC BY-NC-SA 4.0" in card.licence


@pytest.mark.parametrize("fold", range(8))
def test_thresholds_are_those_of_the_published_configurations(weights_dir: Path, fold: int):
    text = (weights_dir / f"harmonix-fold{fold}_mlx.yaml").read_text(encoding="utf-8")
    match = re.search(r"^best_threshold_downbeat: (\S+)$", text, re.MULTILINE)
    assert match
    assert FOLDS[fold].downbeat_threshold == float(match[1])


@pytest.mark.parametrize("fold", range(8))
def test_digests_and_sizes_are_those_of_the_published_files(weights_dir: Path, fold: int):
    (file,) = FOLDS[fold].files
    content = (weights_dir / file.name).read_bytes()
    assert len(content) == file.size
    assert find_damage(file, content) is None


def test_a_card_is_found_by_its_name():
    assert find_card("harmonix-fold3", CARDS.values()) is CARDS["harmonix-fold3"]


def test_an_unknown_name_is_answered_with_the_known_ones_and_the_likely_one():
    with pytest.raises(SelectionError, match=r"'harmonix-al'.*mean harmonix-all.*harmonix-fold7"):
        find_card("harmonix-al", CARDS.values())


def test_an_unknown_name_among_no_models_at_all_is_an_error_too():
    with pytest.raises(SelectionError, match="Available: none"):
        find_card("harmonix-all", ())
