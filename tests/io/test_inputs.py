from __future__ import annotations

from pathlib import Path

import pytest

from allin1_core.errors import InputError
from allin1_core.io.inputs import find_songs, read_list


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    for name in (
        "b.mp3",
        "a.FLAC",
        "cover.jpg",
        "._b.mp3",
        ".hidden.wav",
        "disc 2/c.ogg",
        "disc 2/d[1].wav",
        ".trash/e.mp3",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def names(songs: list[Path], folder: Path) -> list[str]:
    return [song.relative_to(folder).as_posix() for song in songs]


def test_a_folder_means_its_audio_without_what_is_hidden(album: Path) -> None:
    found = names(find_songs([album]), album)
    assert found == ["a.FLAC", "b.mp3", "disc 2/c.ogg", "disc 2/d[1].wav"]


def test_what_to_take_from_a_folder_can_be_chosen(album: Path) -> None:
    found = find_songs([album], include=["*.mp3", "*.jpg"])
    assert names(found, album) == ["b.mp3", "cover.jpg"]


def test_a_pattern_that_no_shell_has_expanded_is_expanded(album: Path) -> None:
    found = find_songs([album / "**" / "*.ogg", album / "*.mp3"])
    assert names(found, album) == ["disc 2/c.ogg", "b.mp3"]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(album: Path) -> None:
    song = album / "disc 2" / "d[1].wav"
    assert find_songs([song]) == [song]


def test_order_and_repetition_are_kept(album: Path) -> None:
    one, other = album / "b.mp3", album / "a.FLAC"
    assert find_songs([one, other, one]) == [one, other, one]


def test_a_named_file_is_kept_whatever_it_is(album: Path) -> None:
    assert find_songs(["no such file.mp3", album / "cover.jpg"]) == [
        Path("no such file.mp3"),
        album / "cover.jpg",
    ]


def test_a_folder_or_pattern_without_songs_is_an_error(album: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no audio"):
        find_songs([tmp_path / "empty"])
    with pytest.raises(InputError, match=r"holds no \*.xyz"):
        find_songs([album], include=["*.xyz"])
    with pytest.raises(InputError, match="No file matches"):
        find_songs([album / "*.xyz"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_a_playlist_names_songs_beside_it(tmp_path: Path, encoding: str) -> None:
    playlist = tmp_path / "list.m3u"
    absolute = tmp_path / "else" / "c.mp3"
    text = f"#EXTM3U\r\n#EXTINF:1,A\r\nCafé.mp3\r\n\r\n  sub/b.mp3  \r\n{absolute}\r\n"
    playlist.write_bytes(text.encode(encoding))
    assert read_list(playlist) == [tmp_path / "Café.mp3", tmp_path / "sub/b.mp3", absolute]


@pytest.mark.parametrize("content", [b"", b"# only a remark\n", b"RIFF\0\0\0\0WAVE"])
def test_a_list_without_songs_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"list.txt"):
        read_list(path)


def test_a_list_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_list(tmp_path / "missing.txt")
    with pytest.raises(InputError, match="cannot be read"):
        read_list("a\0b")
