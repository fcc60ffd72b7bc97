from __future__ import annotations

import os
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
    found = names(find_songs([album]).songs, album)
    assert found == ["a.FLAC", "b.mp3", "disc 2/c.ogg", "disc 2/d[1].wav"]


def test_what_an_earlier_run_has_written_is_no_song(album: Path) -> None:
    before = names(find_songs([album]).songs, album)
    stems = album / "demix" / "htdemucs" / "b"
    stems.mkdir(parents=True)
    for name in ("bass.wav", "separation.json"):
        (stems / name).touch()
    (album / "sonif").mkdir()
    (album / "sonif" / "b.sonif.wav").touch()
    assert names(find_songs([album]).songs, album) == before
    # What is named is read whatever it is called.
    assert len(find_songs([album / "sonif" / "b.sonif.wav"]).songs) == 1


def test_what_to_take_from_a_folder_can_be_chosen(album: Path) -> None:
    found = find_songs([album], include=["*.mp3", "*.jpg"]).songs
    assert names(found, album) == ["b.mp3", "cover.jpg"]


def test_a_pattern_that_no_shell_has_expanded_is_expanded(album: Path) -> None:
    found = find_songs([album / "**" / "*.ogg", album / "*.mp3"]).songs
    assert names(found, album) == ["disc 2/c.ogg", "b.mp3"]


def test_folders_that_a_pattern_matches_are_searched(album: Path) -> None:
    (album / "disc 1").mkdir()
    assert names(find_songs([album / "disc*"]).songs, album) == ["disc 2/c.ogg", "disc 2/d[1].wav"]
    found = names(find_songs([album / "**"]).songs, album)
    assert found == ["a.FLAC", "b.mp3", "cover.jpg", "disc 2/c.ogg", "disc 2/d[1].wav"]


def test_a_pattern_begins_in_the_home_folder(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(album))
    monkeypatch.setenv("USERPROFILE", str(album))
    assert find_songs(["~/*.mp3"]).songs == [album / "b.mp3"]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(album: Path) -> None:
    song = album / "disc 2" / "d[1].wav"
    assert find_songs([song]).songs == [song]


def test_order_and_repetition_are_kept(album: Path) -> None:
    one, other = album / "b.mp3", album / "a.FLAC"
    assert find_songs([one, other, one]).songs == [one, other, one]


def test_a_named_file_is_kept_whatever_it_is(album: Path) -> None:
    (album / "gone.mp3").symlink_to("nowhere")
    longest = Path("n" * 300 + ".mp3")
    given = ["no such file.mp3", album / "cover.jpg", album / "gone.mp3", longest]
    assert find_songs(given).songs == [Path(name) for name in given]
    # A dangling link is an error of its own, not a file that is left out in silence.
    assert album / "gone.mp3" in find_songs([album]).songs
    assert find_songs([album / "g*.mp3"]).songs == [album / "gone.mp3"]


def test_stdin_and_a_file_of_its_name_are_told_apart(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_songs(["-", "./-"]).songs == [Path("-"), tmp_path / "-"]


def test_what_means_no_song_is_an_error_and_the_rest_is_found(album: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = find_songs([tmp_path / "empty", album / "b.mp3", album / "*.xyz"])
    assert found.songs == [album / "b.mp3"]
    assert [error.path for error in found.errors] == [str(tmp_path / "empty"), str(album / "*.xyz")]
    assert "contains no audio" in str(found.errors[0])
    assert "No file matches" in str(found.errors[1])
    (error,) = find_songs([album], include=["*.xyz"]).errors
    assert "contains no *.xyz" in str(error)


def test_a_list_that_cannot_be_read_costs_itself_alone(album: Path) -> None:
    (album / "list.txt").write_text("b.mp3\ndisc 2\nnothing*\n")
    found = find_songs([album / "a.FLAC"], [album / "missing.txt", album / "list.txt"])
    assert names(found.songs, album) == ["a.FLAC", "b.mp3", "disc 2/c.ogg", "disc 2/d[1].wav"]
    assert [error.path for error in found.errors] == [
        str(album / "missing.txt"),
        str(album / "nothing*"),
    ]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_costs_itself_alone(album: Path) -> None:
    (album / "disc 2").chmod(0)
    try:
        found = find_songs([album])
    finally:
        (album / "disc 2").chmod(0o700)
    assert names(found.songs, album) == ["a.FLAC", "b.mp3"]
    assert [error.path for error in found.errors] == [str(album / "disc 2")]


def test_urls_of_files_are_files(album: Path) -> None:
    url = (album / "b.mp3").as_uri()
    found = find_songs([url, "file://elsewhere/b.mp3"])
    assert found.songs == [album / "b.mp3"]
    assert "another computer" in str(found.errors[0])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_a_playlist_names_songs_beside_it(tmp_path: Path, encoding: str) -> None:
    playlist = tmp_path / "list.m3u"
    absolute = tmp_path / "else" / "c.mp3"
    text = f"#EXTM3U\r\n#EXTINF:1,A\r\nCafé.mp3\r\n\r\n  sub/b.mp3  \r\n{absolute}\r\n"
    playlist.write_bytes(text.encode(encoding))
    assert read_list(playlist) == [
        str(path) for path in (tmp_path / "Café.mp3", tmp_path / "sub/b.mp3", absolute)
    ]


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


def test_a_file_called_as_stdin_in_a_list_is_a_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text("-\n")
    assert find_songs([], ["list.txt"]).songs == [tmp_path / "-"]
