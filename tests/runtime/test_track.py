from __future__ import annotations

from pathlib import Path

import pytest

from allin1_core.errors import InputError, StemsError
from allin1_core.io.stems import StemFiles
from allin1_core.runtime.track import make_tracks


def names(tracks):
    return [track.name for track in tracks]


def test_a_song_without_stems_is_a_mix():
    (track,) = make_tracks([Path("a/song.v2.mp3")])
    assert (track.name, track.stems_dir, track.find_stems()) == ("song.v2", None, None)
    assert track.source.is_absolute()


def test_a_folder_of_stems_alone_gives_the_track_its_name(tmp_path):
    (tmp_path / "My Song").mkdir()
    (track,) = make_tracks(stems_dirs=[tmp_path / "My Song"])
    assert (track.name, track.source) == ("My Song", tmp_path / "My Song")


def test_a_folder_called_stems_gives_the_name_of_its_parent(tmp_path):
    (tmp_path / "My Song" / "stems").mkdir(parents=True)
    (track,) = make_tracks(stems_dirs=[tmp_path / "My Song" / "stems"])
    assert track.name == "My Song"


def test_missing_stems_are_found_missing_when_the_track_is_analysed_and_not_before(tmp_path):
    (track,) = make_tracks(stems_dirs=[tmp_path])
    with pytest.raises(StemsError, match="no bass"):
        track.find_stems()


def test_one_song_takes_the_folder_itself_or_the_one_in_it_of_its_name(tmp_path):
    (track,) = make_tracks([Path("song.mp3")], [tmp_path])
    assert track.stems_dir == tmp_path
    (tmp_path / "song").mkdir()
    (track,) = make_tracks([Path("song.mp3")], [tmp_path])
    assert track.stems_dir == tmp_path / "song"


def test_several_songs_take_the_folders_of_exactly_their_names(tmp_path):
    (tmp_path / "song2").mkdir()
    tracks = make_tracks([Path("song.mp3"), Path("song2.mp3")], [tmp_path])
    assert [t.stems_dir for t in tracks] == [tmp_path / "song", tmp_path / "song2"]


def test_order_and_repetitions_are_kept(tmp_path):
    tracks = make_tracks([Path("b.wav"), Path("a.wav"), Path("b.wav")])
    assert names(tracks) == ["b", "a", "b"]


def test_equal_names_from_different_places_are_distinguished():
    assert names(make_tracks([Path("/m/a/x.mp3"), Path("/m/b/x.wav")])) == ["a_x", "b_x"]
    assert names(make_tracks([Path("/m/a/cd/x.mp3"), Path("/m/b/cd/x.mp3")])) == [
        "a_cd_x",
        "b_cd_x",
    ]
    assert names(make_tracks([Path("/m/x.mp3"), Path("/m/x.wav")])) == ["x_mp3", "x_wav"]


def test_all_names_of_a_batch_differ_where_the_sources_do():
    paths = ["/m/x.mp3", "/m/x.wav", "/n/x.mp3", "/n/y.mp3", "/x.mp3", "/a/n/x.mp3", "/m/x.mp3"]
    tracks = make_tracks([Path(path) for path in paths])
    by_name: dict[str, set[Path]] = {}
    for track in tracks:
        by_name.setdefault(track.name, set()).add(track.source)
    assert all(len(sources) == 1 for sources in by_name.values()), by_name


def test_four_files_are_one_track(tmp_path):
    folder = tmp_path / "s"
    folder.mkdir()
    files = StemFiles(*(folder / f"{name}.wav" for name in "bdov"))
    (track,) = make_tracks(stems=files)
    assert (track.name, track.find_stems()) == ("s", files)
    (track,) = make_tracks([Path("song.wav")], stems=files)
    assert track.name == "song"


def test_a_misspelt_song_is_not_analysed_by_the_stems_of_another(tmp_path, write_stems):
    stems = write_stems(tmp_path / "s", 1.0)
    (tmp_path / "song.mp3").touch()
    for options in ({"stems_dirs": [tmp_path / "s"]}, {"stems": stems}):
        (track,) = make_tracks([tmp_path / "song.mp3"], **options)
        assert track.find_stems() == stems
        (track,) = make_tracks([tmp_path / "sogn.mp3"], **options)
        with pytest.raises(InputError, match=r"sogn\.mp3: There is no such file"):
            track.find_stems()


def test_folders_are_named_as_they_are_called_from_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "My Song" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "My Song" / "inner")
    for spelling in ("..", "../../My Song", str(tmp_path / "My Song" / "inner" / "..")):
        (track,) = make_tracks(stems_dirs=[Path(spelling)])
        assert track.name == "My Song"
    (track,) = make_tracks(stems_dirs=[Path("/")])
    assert track.name == "_"


def test_a_song_that_is_all_dots_has_a_name():
    assert names(make_tracks([Path("/m/..wav")])) == ["_"]
    assert names(make_tracks([Path("/m/..wav"), Path("/m/...wav")])) == ["_", "__"]


def test_a_tilde_at_the_beginning_may_be_part_of_the_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (track,) = make_tracks([Path("~no such user.wav")])
    assert track.source == tmp_path / "~no such user.wav"


@pytest.mark.parametrize(("paths", "folders"), [(["a", "b"], ["x", "y"]), (["a"], ["x", "y"])])
def test_what_cannot_be_matched_is_refused(paths, folders):
    with pytest.raises(InputError, match="cannot be matched"):
        make_tracks([Path(p) for p in paths], [Path(f) for f in folders])
