"""Files of separation models: whether they are here, and reading them."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.model import SeparatorCard, WeightsContent, WeightsFile
from allin1_core.errors import InputError, WeightsError
from allin1_core.weights.separation import has_separator_weights, read_separator

NEW, OLD = b"the new file", b"the old file"


def file(name, content, *urls, **changes):
    return WeightsFile(name, hashlib.sha256(content).hexdigest(), len(content), urls, **changes)


@pytest.fixture
def cards(server, tmp_path):
    """A separator whose file may also lie in another program's folder, in an older format too."""
    server.answer("/a.safetensors", body=NEW)
    older = file("a.th", OLD, server.url("/a.th"), places=(str(tmp_path / "torch" / "a.th"),))
    one = file(
        "a.safetensors",
        NEW,
        server.url("/a.safetensors"),
        places=(str(tmp_path / "hub" / "*" / "a.safetensors"),),
        alternatives=(older,),
    )
    return {"unet": SeparatorCard("unet", "A", (one,), "MIT", "tests")}


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_a_file_is_downloaded_once(cards, server, cache):
    for _ in range(2):
        assert read_separator("unet", cards) == (WeightsContent("a.safetensors", NEW),)
    assert server.asked == ["/a.safetensors"]
    assert (cache / "a.safetensors").read_bytes() == NEW


@pytest.mark.parametrize(
    ("place", "content"),
    [("hub/abc/a.safetensors", NEW), ("torch/a.th", OLD)],
)
def test_a_file_that_another_program_keeps_is_read_there(cards, server, tmp_path, place, content):
    put(tmp_path / place, content)
    name = place.rpartition("/")[2]
    assert read_separator("unet", cards) == (WeightsContent(name, content),)
    assert server.asked == []


def test_a_spoilt_file_of_another_program_is_passed_over(cards, server, tmp_path):
    put(tmp_path / "torch" / "a.th", b"another")
    assert read_separator("unet", cards) == (WeightsContent("a.safetensors", NEW),)
    put(tmp_path / "named" / "a.safetensors", b"another, and longer")
    with pytest.raises(WeightsError, match="Not the file"):
        read_separator("unet", cards, weights_dir=tmp_path / "named")


def test_what_cannot_be_had_is_an_error_with_ways_to_go_on(cards, server):
    server.answers.clear()
    for download in (True, False):
        with pytest.raises(WeightsError) as caught:
            read_separator("unet", cards, download=download)
        text = str(caught.value)
        for part in ("a.safetensors", "--weights-dir", "--stems-dir"):
            assert part in text
    with pytest.raises(InputError, match="Available: unet"):
        read_separator("mine", cards)


def test_an_address_that_cannot_be_reached_is_tried_once(cards, monkeypatch):
    import requests

    (one,) = cards["unet"].files
    urls = tuple(f"https://hub.invalid/{n}/a.safetensors" for n in range(3))
    urls += ("https://other.invalid/a.safetensors",)
    cards = {"unet": replace(cards["unet"], files=(replace(one, urls=urls),))}
    asked = []

    def refuse(self, method, url, **options):
        asked.append(url)
        raise requests.ConnectionError("no network")

    monkeypatch.setattr(requests.Session, "request", refuse)
    with pytest.raises(WeightsError, match="the connection failed"):
        read_separator("unet", cards)
    assert asked == [urls[0], urls[3]]


def test_it_can_be_told_whether_the_files_are_here(cards, tmp_path, server):
    backend = Backend("mine", "demix", "nowhere:create", separators=("unet",))
    plain = Backend("plain", "demix", "nowhere:create")
    unet = DemixParameters("unet")

    def here(backend=backend, parameters=unet, weights_dir=None):
        return has_separator_weights(backend, parameters, cards, weights_dir)

    assert here(plain)
    assert not here()
    assert here(parameters=DemixParameters("unet", "random:1"))
    assert here(parameters=DemixParameters("unet", str(tmp_path)))
    assert not here(parameters=DemixParameters("unet", str(tmp_path / "nowhere")))
    put(tmp_path / "torch" / "a.th", OLD)
    assert here()
    assert not here(parameters=DemixParameters("other"))
    assert not here(replace(backend, separators=("other",)))
    (tmp_path / "torch" / "a.th").unlink()
    put(tmp_path / "named" / "a.safetensors", NEW)
    assert here(weights_dir=tmp_path / "named")
    assert server.asked == []
