from __future__ import annotations

import os
import unicodedata
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allin1_core.io.names import MOST_BYTES, folded, portable_name, unique_names
from allin1_core.paths import expanded


def named(*paths: str) -> list[str]:
    return unique_names([(Path(path).stem, Path(path)) for path in paths])


def test_a_song_keeps_its_name_where_no_other_has_it() -> None:
    assert named("/m/song.v2.mp3", "/m/b.wav", "/m/song.v2.mp3") == ["song.v2", "b", "song.v2"]


def test_a_name_made_of_a_parent_is_not_one_that_another_song_has() -> None:
    assert named("/m/a/song.wav", "/m/b/song.wav", "/m/a_song.wav") == [
        *("a_song_2", "b_song", "a_song")
    ]
    # Two made names that meet are told apart too.
    names = named("/m/a/b_c.wav", "/n/x/b_c.wav", "/m/a_b/c.wav", "/n/y/c.wav")
    assert len(set(names)) == 4


@pytest.mark.parametrize(
    "pair",
    [
        ("/m/Song.wav", "/m/song.wav"),
        ("/m/caf\u00e9.wav", "/m/cafe\u0301.wav"),
        ("/m/STRASSE.wav", "/m/stra\u00dfe.wav"),
        ("/m/song.wav", "/m/song..wav"),
    ],
)
def test_names_that_a_file_system_takes_for_one_are_told_apart(pair: tuple[str, str]) -> None:
    one, other = named(*pair)
    assert folded(one) != folded(other)
    # The order of the songs does not matter.
    assert named(*reversed(pair)) == [other, one]


@pytest.mark.parametrize("name", ["", ".", "..", "...", " ", ". ."])
def test_a_name_is_never_empty_or_a_folder_of_its_own(name: str) -> None:
    assert set(portable_name(name)) == {"_"}


def test_long_names_are_cut_between_characters_and_stay_different() -> None:
    first, other = (portable_name("\u00e9" * 150 + end) for end in "ab")
    assert first != other
    assert portable_name("\u00e9" * 150 + "a") == first
    for name in (first, other):
        assert MOST_BYTES - 2 < len(name.encode()) <= MOST_BYTES
    assert portable_name("n" * 300, "_12").endswith("_12")
    assert len(portable_name("n" * 300, "_12")) == MOST_BYTES
    names = named(*(f"/m/{folder}/{'n' * 240}.wav" for folder in "abc"))
    assert len(set(names)) == 3
    assert all(len(name) <= MOST_BYTES for name in names)


part = st.text(st.sampled_from("aAb._e\u0301\u00e9\u00df s"), min_size=1, max_size=3)


@given(st.lists(st.tuples(part, part, st.sampled_from([".wav", ".mp3", ".WAV", ""])), max_size=9))
def test_names_are_unique_whatever_the_songs_are_called(
    songs: list[tuple[str, str, str]],
) -> None:
    # One path for what is one file to some file system.
    paths = {f"/m/{folder}/{name}{ext}": None for folder, name, ext in songs}
    names = named(*paths)
    assert len({folded(name) for name in names}) == len(paths)
    for name in names:
        assert name not in ("", ".", "..")
        assert "/" not in name
        assert unicodedata.normalize("NFC", name).strip()


def test_the_order_of_the_songs_changes_no_name() -> None:
    paths = ["/a/song.wav", "/b/song.wav", "/a_song.wav", "/A/song.mp3", "/b/SONG.flac"]
    wanted = dict(zip(paths, named(*paths), strict=True))
    for order in permutations(paths):
        assert dict(zip(order, named(*order), strict=True)) == wanted


def count_of_steps(songs: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """How often a name is looked at."""
    from allin1_core.io import names

    seen = 0

    def counted(name: str) -> str:
        nonlocal seen
        seen += 1
        return folded(name)

    monkeypatch.setattr(names, "folded", counted)
    named(*songs)
    return seen


@pytest.mark.parametrize("form", ["/m/{}/cd/song.wav", "/m/song.{}", "/m/{}/a/b/c/d/Song.wav"])
def test_the_work_grows_as_the_number_of_songs(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = (
        count_of_steps([form.format(n) for n in range(count)], monkeypatch) for count in (100, 1000)
    )
    assert many < 11 * few


def test_a_tilde_is_a_home_only_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", os.sep + "home")
    monkeypatch.setenv("USERPROFILE", os.sep + "home")
    assert expanded("~/song.wav") == Path(os.sep, "home", "song.wav")
    assert expanded("~no such user.wav") == Path("~no such user.wav")


def test_a_source_that_is_not_there_is_no_reason_to_rename_another() -> None:
    songs = [("song", Path(f"/{folder}/song.wav")) for folder in "abc"]
    there = {Path("/b/song.wav")}
    assert unique_names(songs, there.__contains__) == ["song_2", "song", "song_3"]
    there |= {Path("/c/song.wav")}
    assert unique_names(songs, there.__contains__) == ["song", "b_song", "c_song"]
    assert unique_names(songs, lambda source: False) == ["a_song", "b_song", "c_song"]
