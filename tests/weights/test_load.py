from __future__ import annotations

import io
import pickle
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from allin1_core.errors import WeightsError
from allin1_core.weights.catalogue import catalogue
from allin1_core.weights.load import load_model


def archive(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def in_cache(cache: Path, make_card, *contents: bytes):
    card = make_card(*contents)
    cache.mkdir(parents=True, exist_ok=True)
    for file, content in zip(card.files, contents, strict=True):
        (cache / file.name).write_bytes(content)
    return card


def test_a_model_has_the_arrays_of_its_files_in_the_order_of_its_members(
    cache, make_card, contents
):
    card = in_cache(cache, make_card, *contents)
    model = load_model(card)
    assert model.card is card
    for content, member in zip(contents, model.members, strict=True):
        with np.load(io.BytesIO(content)) as expected:
            assert list(member) == expected.files
            for name in expected.files:
                np.testing.assert_array_equal(member[name], expected[name])
                assert member[name].dtype == np.float32


def test_a_model_is_downloaded_when_it_is_not_here(served, contents):
    seen = []
    model = load_model(served, progress=lambda *state: seen.append(state))
    assert len(model.members) == 3
    assert seen[-1] == (sum(map(len, contents)),) * 2


def test_a_model_is_not_downloaded_where_that_is_switched_off(served, server):
    with pytest.raises(WeightsError, match="Downloading is disabled"):
        load_model(served, download=False)
    assert server.asked == []


def test_its_arrays_cannot_be_written_to(cache, make_card, contents):
    (member,) = load_model(in_cache(cache, make_card, contents[0])).members
    with pytest.raises(ValueError, match="read-only"):
        member["layer.bias"][0] = 1


def test_a_file_damaged_since_the_last_load_is_noticed(tmp_path, make_card, contents):
    card = in_cache(tmp_path, make_card, contents[0])
    load_model(card, weights_dir=tmp_path)
    (tmp_path / "member0.npz").write_bytes(contents[0][:-1] + b"x")
    with pytest.raises(WeightsError, match="Not the file"):
        load_model(card, weights_dir=tmp_path)


class Trap:
    """Would leave a trace if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_is_refused_and_not_run(cache, tmp_path, make_card):
    trap = np.empty(1, dtype=object)
    trap[0] = Trap(tmp_path / "sprung")
    card = in_cache(cache, make_card, archive(bias=np.zeros(2, np.float32), trap=trap))
    with pytest.raises(WeightsError, match="Not an archive") as caught:
        load_model(card)
    assert caught.value.path == str(cache / "member0.npz")
    assert "trap.npy in it: it contains Python objects" in caught.value.message
    assert "allow_pickle" not in str(caught.value)
    assert not (tmp_path / "sprung").exists()


def test_a_file_that_is_a_pickle_is_refused_without_bad_advice(cache, tmp_path, make_card):
    card = in_cache(cache, make_card, pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(WeightsError, match="declares no reader for another format") as caught:
        load_model(card)
    assert "pickle" not in caught.value.message
    assert not (tmp_path / "sprung").exists()


def test_other_formats_are_read_by_their_models_plugin(cache, make_card, monkeypatch):
    module = types.ModuleType("reader_for_a_test")
    module.read = lambda content: {"bias": np.frombuffer(content, np.float32)}
    monkeypatch.setitem(sys.modules, module.__name__, module)
    card = in_cache(cache, make_card, b"12345678", b"1234")
    model = load_model(replace(card, reader="reader_for_a_test:read"))
    assert [len(member["bias"]) for member in model.members] == [2, 1]
    (cache / "member0.npz").write_bytes(b"12345679")
    with pytest.raises(WeightsError, match=r"(Not the file|not on this machine)"):
        load_model(replace(card, reader="reader_for_a_test:read"), download=False)


@pytest.mark.parametrize("reader", ["reader_for_a_test:read", "no_such_module:read"])
def test_a_reader_that_fails_is_an_error_that_names_it(cache, make_card, monkeypatch, reader):
    module = types.ModuleType("reader_for_a_test")
    module.read = lambda content: 1 / 0
    monkeypatch.setitem(sys.modules, module.__name__, module)
    card = replace(in_cache(cache, make_card, b"x"), reader=reader)
    with pytest.raises(WeightsError, match=f"reader, {reader}, cannot read it") as caught:
        load_model(card)
    assert caught.value.path == str(cache / "member0.npz")


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3, np.float32))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"text", npy(), archive(a=np.zeros(2000, np.float32))[:-40], b"PK\x03\x04 and no more"],
    ids=["empty", "text", "one array", "cut archive", "zip without an end"],
)
def test_what_is_no_archive_of_arrays_is_refused_by_name(cache, make_card, content):
    card = in_cache(cache, make_card, content)
    with pytest.raises(WeightsError, match="Not an archive") as caught:
        load_model(card)
    assert caught.value.path == str(cache / "member0.npz")


def test_arrays_of_another_type_are_refused_by_name(cache, make_card):
    card = in_cache(cache, make_card, archive(good=np.zeros(1, np.float32), bad=np.zeros(1)))
    with pytest.raises(WeightsError, match="array bad is float64"):
        load_model(card)


def test_what_is_stored_as_float16_is_loaded_as_float32(cache, make_card):
    stored = np.random.default_rng(0).standard_normal(50).astype(np.float16)
    card = in_cache(cache, make_card, archive(half=stored, full=np.ones(2, np.float32)))
    (member,) = load_model(card).members
    assert {array.dtype for array in member.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(member["half"], stored)
    assert not member["half"].flags.writeable


def test_a_model_whose_parameters_come_with_a_plugin_has_no_members(make_card):
    assert load_model(make_card(), download=False).members == ()


def test_the_published_models_load(weights_dir: Path):
    cards = catalogue()
    everything = load_model(cards[0], weights_dir=weights_dir, download=False)
    assert len(everything.members) == 8
    for member in everything.members:
        assert len(member) == 491
        assert sum(array.size for array in member.values()) == 300_631
        assert all(np.isfinite(array).all() for array in member.values())
    (fold,) = load_model(cards[4], weights_dir=weights_dir, download=False).members
    for name, array in fold.items():
        np.testing.assert_array_equal(array, everything.members[3][name])
