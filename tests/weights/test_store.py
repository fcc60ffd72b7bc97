from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allin1_core.contracts.model import WeightsFile
from allin1_core.errors import WeightsError
from allin1_core.weights.check import find_damage
from allin1_core.weights.store import Folders, cache_folder, find_folders, locate, read_weights


def put(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def read(card, weights_dir=None, **options):
    return read_weights(card, find_folders(weights_dir), **options)


@given(content=st.binary(max_size=64), other=st.binary(max_size=64))
def test_content_is_whole_exactly_if_it_is_the_same(content: bytes, other: bytes):
    file = WeightsFile("a.npz", hashlib.sha256(content).hexdigest(), len(content))
    assert find_damage(file, content) is None
    assert (find_damage(file, other) is None) == (content == other)
    assert ("Truncated" in str(find_damage(file, other))) == (len(other) < len(content))


def test_the_argument_comes_before_the_environment_and_that_before_the_cache(
    tmp_path, cache, monkeypatch, make_card, contents
):
    monkeypatch.setenv("ALLIN1_WEIGHTS_DIR", str(tmp_path / "environment"))
    card = make_card(contents[0])
    folders = [tmp_path / "argument", tmp_path / "environment", cache]
    for folder in reversed(folders):
        path = put(folder, "member0.npz", contents[0])
        assert [file.path for file in read(card, tmp_path / "argument")] == [path]
    assert find_folders(tmp_path / "argument") == Folders(tuple(folders[:2]), cache)


def test_files_of_one_model_may_lie_in_different_folders(tmp_path, cache, make_card, contents):
    paths = [put(tmp_path, "member0.npz", contents[0]), put(cache, "member1.npz", contents[1])]
    found = read(make_card(*contents[:2]), tmp_path, allow_download=False)
    assert [file.path for file in found] == paths
    assert [file.content for file in found] == contents[:2]


def test_an_empty_variable_names_no_folder(monkeypatch):
    monkeypatch.setenv("ALLIN1_WEIGHTS_DIR", "")
    assert find_folders().named == ()


def test_a_tilde_means_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("ALLIN1_WEIGHTS_DIR", "~/weights")
    monkeypatch.setenv("ALLIN1_CACHE_DIR", "~/cache")
    folders = Folders((tmp_path / "argument", tmp_path / "weights"), tmp_path / "cache" / "weights")
    assert find_folders("~/argument") == folders


def test_without_a_variable_the_cache_is_the_users(monkeypatch):
    monkeypatch.delenv("ALLIN1_CACHE_DIR")
    assert cache_folder() == Path(platformdirs.user_cache_dir("allin1")) / "weights"


def test_a_named_folder_that_does_not_exist_is_mentioned_and_passed_over(
    tmp_path, cache, make_card, contents, caplog
):
    put(cache, "member0.npz", contents[0])
    read(make_card(contents[0]), tmp_path / "tpyo")
    assert "tpyo" in caplog.text


@pytest.mark.parametrize("variable", [True, False])
def test_damage_in_a_named_folder_is_an_error_even_if_the_cache_has_a_good_copy(
    tmp_path, cache, make_card, contents, monkeypatch, variable
):
    put(cache, "member0.npz", contents[0])
    damaged = bytes([contents[0][0] ^ 1]) + contents[0][1:]
    path = put(tmp_path / "mine", "member0.npz", damaged)
    if variable:
        monkeypatch.setenv("ALLIN1_WEIGHTS_DIR", str(tmp_path / "mine"))
    with pytest.raises(WeightsError) as caught:
        read(make_card(contents[0]), None if variable else tmp_path / "mine")
    assert caught.value.path == str(path)
    for content in (contents[0], damaged):
        assert hashlib.sha256(content).hexdigest() in str(caught.value)
    assert path.read_bytes() == damaged


def test_a_truncated_file_is_called_truncated_with_both_sizes(tmp_path, make_card, contents):
    put(tmp_path, "member0.npz", contents[0][:1000])
    with pytest.raises(WeightsError, match=rf"Truncated.* 1000 bytes.* {len(contents[0])} bytes"):
        read(make_card(contents[0]), tmp_path)


def test_the_cache_named_by_the_user_is_a_named_folder(cache, make_card, contents):
    put(cache, "member0.npz", contents[1])
    with pytest.raises(WeightsError, match="Not the file in the catalogue"):
        read(make_card(contents[0]), cache)


def test_a_file_that_cannot_be_read_is_named(tmp_path, make_card, contents):
    (tmp_path / "member0.npz").mkdir()
    with pytest.raises(WeightsError, match="Cannot be read") as caught:
        read(make_card(contents[0]), tmp_path)
    assert caught.value.path == str(tmp_path / "member0.npz")


def test_a_damaged_file_in_the_cache_is_downloaded_again_with_a_note(
    cache, server, served, contents, caplog
):
    for k, content in enumerate([contents[0], contents[1][:-1], contents[2]]):
        put(cache, f"member{k}.npz", content)
    found = read(served)
    assert [file.content for file in found] == contents
    assert (cache / "member1.npz").read_bytes() == contents[1]
    assert server.asked == ["/member1.npz"]
    notes = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any("member1.npz" in note and "downloaded again" in note for note in notes)


def test_a_damaged_file_in_the_cache_is_an_error_that_says_so_where_nothing_is_downloaded(
    cache, server, served, contents
):
    put(cache, "member0.npz", contents[0][:-1])
    with pytest.raises(WeightsError, match=r"member0\.npz: Truncated.*Downloading is disabled"):
        read(served, allow_download=False)
    assert server.asked == []
    assert (cache / "member0.npz").read_bytes() == contents[0][:-1]


def test_what_is_missing_is_listed_with_its_addresses_and_where_to_put_it(
    tmp_path, cache, make_card, contents
):
    put(tmp_path, "member1.npz", contents[1])
    urls = lambda name: (f"https://one.example/{name}", f"https://two.example/{name}")  # noqa: E731
    with pytest.raises(WeightsError) as caught:
        read(make_card(*contents, urls=urls), tmp_path, allow_download=False)
    text = str(caught.value)
    assert "2 of 3" in text
    assert "\n" not in text
    assert "member1.npz" not in text
    for expected in (
        *("member0.npz, member2.npz", "https://one.example", str(cache)),
        *("--weights-dir", "ALLIN1_WEIGHTS_DIR"),
    ):
        assert expected in text
    assert "member1.npz" not in text


def test_the_licence_is_shown_when_weights_are_downloaded_and_not_after(served, caplog):
    read(served)
    assert served.licence in caplog.text
    caplog.clear()
    read(served)
    assert caplog.text == ""


def test_a_file_that_changes_right_after_its_download_is_an_error(
    cache, served, monkeypatch, contents
):
    def download_and_spoil(file, folder, _):
        put(folder, file.name, b"spoilt")

    monkeypatch.setattr("allin1_core.weights.store.download", download_and_spoil)
    with pytest.raises(WeightsError, match="Another program") as caught:
        read(served)
    assert caught.value.path == str(cache / "member0.npz")


def test_locating_a_file_does_not_read_it(tmp_path, make_card, contents):
    (file,) = make_card(contents[0]).files
    assert locate(file, find_folders(tmp_path)) is None
    path = put(tmp_path, file.name, b"anything")
    assert locate(file, find_folders(tmp_path)) == path
