"""Files for which no digest is published: the first copy's is kept, and holds from then on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from allin1_core.contracts.model import SeparatorCard, WeightsFile
from allin1_core.errors import WeightsError
from allin1_core.weights.first_seen import NAME
from allin1_core.weights.store import find_folders, read_weights


@pytest.fixture
def card(server):
    server.answer("/a-12345678.th", body=b"the right one")
    file = WeightsFile("a-12345678.th", "", 0, (server.url("/a-12345678.th"),))
    return SeparatorCard("a", "A", (file,), "MIT", "tests")


def read(card, **options):
    return [found.content for found in read_weights(card, find_folders(), **options)]


def test_the_digest_of_the_first_download_is_kept_and_said(card, cache, caplog):
    assert read(card) == [b"the right one"]
    digest = hashlib.sha256(b"the right one").hexdigest()
    assert json.loads((cache / NAME).read_text()) == {"a-12345678.th": digest}
    assert f"SHA-256 {digest}" in caplog.text
    assert str(cache / NAME) in caplog.text
    caplog.clear()
    assert read(card, allow_download=False) == [b"the right one"]
    assert "digest" not in caplog.text


def test_a_copy_that_was_changed_since_is_replaced_by_the_same_as_before(card, cache):
    read(card)
    (cache / "a-12345678.th").write_bytes(b"another one")
    with pytest.raises(WeightsError, match="Not the file"):
        read(card, allow_download=False)
    assert read(card) == [b"the right one"]


def test_a_download_that_changed_since_is_refused(card, cache, server):
    read(card)
    (cache / "a-12345678.th").unlink()
    server.answer("/a-12345678.th", body=b"another one")
    with pytest.raises(WeightsError, match="Not the file"):
        read(card)


def test_a_changed_copy_in_a_folder_of_the_users_is_an_error(card, tmp_path):
    read(card)
    (tmp_path / "a-12345678.th").write_bytes(b"another one")
    with pytest.raises(WeightsError, match="Replace the file by an intact copy"):
        read_weights(card, find_folders(tmp_path))


def test_a_copy_that_another_program_keeps_counts_as_the_first_too(card, cache, tmp_path, server):
    (tmp_path / "hub" / "one").mkdir(parents=True)
    (tmp_path / "hub" / "one" / "a-12345678.th").write_bytes(b"the right one")
    place = str(tmp_path / "hub" / "*" / "a-12345678.th")
    kept = replace(card, files=(replace(card.files[0], places=(place,)),))
    assert read(kept) == [b"the right one"]
    assert server.asked == []
    (tmp_path / "hub" / "one" / "a-12345678.th").write_bytes(b"another one")
    assert read(kept) == [b"the right one"]
    assert server.asked == ["/a-12345678.th"]


def test_a_published_digest_is_not_kept(cache, server, contents, make_card):
    server.answer("/member0.npz", body=contents[0])
    read_weights(make_card(contents[0], urls=lambda n: (server.url(f"/{n}"),)), find_folders())
    assert not (cache / NAME).exists()


@pytest.mark.parametrize("content", ["", "[", "[]", '{"a": 1}', "[" * 100_000])
def test_spoilt_digests_are_an_error_and_not_forgotten(card, cache, content):
    read(card)
    (cache / NAME).write_text(content)
    with pytest.raises(WeightsError, match="cannot be read") as caught:
        read(card)
    assert caught.value.path == str(cache / NAME)
