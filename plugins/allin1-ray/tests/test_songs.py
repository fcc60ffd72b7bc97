"""Songs by paths, folders, patterns, URLs and manifests."""

from __future__ import annotations

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from allin1_core.errors import InputError

from allin1_ray.songs import songs_of


def addresses(given, **storage):
    return [song.address for song in songs_of(given, storage)]


def named(given):
    return {song.track.name: song.address for song in songs_of(given, {})}


@pytest.fixture
def album(tmp_path):
    for name in ("b.mp3", "a.wav", "disc/c.flac", "cover.jpg", ".hidden.mp3"):
        path = tmp_path / "album" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(b"")
    return tmp_path / "album"


@pytest.fixture
def store(request):
    """A store in memory, of this test alone."""
    fs = fsspec.filesystem("memory")
    root = f"/{request.node.name}"
    for name in ("b.mp3", "a b.wav", "disc/c.flac", "cover.jpg", ".hidden/d.mp3"):
        fs.pipe_file(f"{root}/{name}", b"")
    yield fs, f"memory://{root}"
    fs.rm(root, recursive=True)


def test_folders_patterns_and_files_of_this_machine(album):
    assert addresses(album) == [str(album / n) for n in ("a.wav", "b.mp3", "disc/c.flac")]
    assert addresses([str(album / "*.mp3"), album / "b.mp3"]) == [str(album / "b.mp3")]
    with pytest.raises(InputError, match="There are no songs"):
        songs_of([], {})


def test_folders_patterns_and_files_of_a_store(store):
    _, root = store
    assert addresses(root) == [f"{root}/{n}" for n in ("a b.wav", "b.mp3", "disc/c.flac")]
    assert addresses(f"{root}/*.mp3") == [f"{root}/b.mp3"]
    assert addresses(f"{root}/missing.mp3") == [f"{root}/missing.mp3"]
    assert named(root)["a b"] == f"{root}/a b.wav"
    with pytest.raises(InputError, match="There is no audio"):
        songs_of(f"{root}/*.ogg", {})


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_manifests_of_each_kind_name_songs_relative_to_their_folder(album, kind):
    rows = [{"path": "a.wav", "name": "first"}, {"path": str(album / "b.mp3"), "name": "0012"}]
    manifest = album / f"list.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), manifest)
    elif kind == "csv":
        manifest.write_text(
            "path,name,year\n" + "".join(f"{r['path']},{r['name']},1999\n" for r in rows)
        )
    else:
        manifest.write_text(
            "".join(f'{{"path": "{r["path"]}", "name": "{r["name"]}"}}\n' for r in rows)
        )
    assert named(manifest) == {"first": str(album / "a.wav"), "0012": str(album / "b.mp3")}


def test_a_manifest_in_a_store_names_songs_of_its_folder_and_of_others(store):
    fs, root = store
    fs.pipe_file(f"{root}/list.csv", b"url\nb.mp3\ns3://other/x.wav\n")
    assert addresses(f"{root}/list.csv") == [f"{root}/b.mp3", "s3://other/x.wav"]


def test_songs_of_one_name_are_told_apart(album, store):
    _, root = store
    names = named([album / "b.mp3", f"{root}/b.mp3"])
    assert len(names) == 2
    assert set(names.values()) == {str(album / "b.mp3"), f"{root}/b.mp3"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("title\nx\n", "no column song, path or url. It has: title"),
        ("song\n", "There are no songs"),
    ],
)
def test_a_manifest_that_names_no_songs_says_what_it_has(tmp_path, content, words):
    manifest = tmp_path / "list.csv"
    manifest.write_text(content)
    with pytest.raises(InputError, match=words):
        songs_of(manifest, {})


def test_a_manifest_that_cannot_be_read_is_an_error(tmp_path):
    manifest = tmp_path / "list.parquet"
    manifest.write_bytes(b"no parquet")
    with pytest.raises(InputError, match="The manifest cannot be read"):
        songs_of(manifest, {})
    with pytest.raises(InputError, match="The manifest cannot be read"):
        songs_of(tmp_path / "missing.csv", {})


def test_what_lets_others_in_stays_out_of_results_and_names():
    (song,) = songs_of("https://me:word@host/a%20b.mp3?X-Amz-Signature=abc", {})
    assert "word" not in song.address
    assert "abc" not in song.address
    assert song.url == "https://me:word@host/a%20b.mp3?X-Amz-Signature=abc"
    assert song.track.name == "a b"


def test_a_store_that_is_not_known_says_what_to_install():
    with pytest.raises(InputError, match="allin1-ray"):
        songs_of("nosuchstore://bucket/folder", {})
