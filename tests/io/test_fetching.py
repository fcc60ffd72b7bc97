"""Songs at URLs: fetched for as long as they are needed, found in folders, and told of where they are not there."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from allin1_core.errors import InputError, SettingsError
from allin1_core.io.fetching import fetched
from allin1_core.io.inputs import find_songs
from allin1_core.urls import Url, is_url

fsspec = pytest.importorskip("fsspec", reason='URLs need "allin1-core[urls]"')


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory, monkeypatch) -> Path:
    """The folder of temporary files, to look at what is left behind."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def memory():
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


class Server(BaseHTTPRequestHandler):
    is_open = True

    def do_GET(self) -> None:
        if self.path.startswith("/song"):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"bytes of " + self.path.encode())
        elif self.path == "/endless.mp3":
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while Server.is_open:
                    self.wfile.write(bytes(1 << 20))
        elif self.path == "/silent.mp3":
            while Server.is_open:
                time.sleep(0.02)
        elif self.path == "/album/":
            links = "".join(f'<a href="{name}">x</a>' for name in ("b.mp3", "a.flac", "cover.jpg"))
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(links.encode())
        else:
            self.send_error(403 if "secret" in self.path else 404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    pytest.importorskip("aiohttp", reason='URLs need "allin1-core[urls]"')
    Server.is_open = True
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        Server.is_open = False
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_file_is_there_as_long_as_it_is_needed_and_no_longer(memory, temporary):
    memory.pipe("/album/My song.wav", b"bytes")
    with fetched(Url("memory://album/My song.wav")) as file:
        assert file.name == "My song.wav"
        assert file.read_bytes() == b"bytes"
    with pytest.raises(KeyboardInterrupt), fetched(Url("memory://album/My song.wav")):
        raise KeyboardInterrupt
    assert list(temporary.iterdir()) == []


def test_a_song_on_the_web_is_fetched(web, temporary):
    with fetched(Url(f"{web}/song%201.mp3?id=5")) as file:
        assert file.name == "song 1.mp3"
        assert file.read_bytes() == b"bytes of /song%201.mp3?id=5"
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("{web}/missing.mp3", "does not exist"),
        ("{web}/secret.mp3", "403"),
        ("http://127.0.0.1:1/song.mp3", "Cannot connect"),
        ("memory://missing.mp3", "does not exist"),
        ("nonsense://song.mp3", "nonsense:// are not supported"),
        ("http://[::1/song.mp3", "cannot be read"),
    ],
)
def test_what_cannot_be_fetched_is_an_error_of_that_song(web, temporary, address, said):
    url = address.format(web=web)
    with pytest.raises(InputError, match=said) as found, fetched(Url(url)):
        pass
    assert found.value.path == url
    assert list(temporary.iterdir()) == []


def test_what_has_no_end_is_given_up(web, temporary, monkeypatch):
    monkeypatch.setenv("ALLIN1_DOWNLOAD_LIMIT", "5M")
    with pytest.raises(InputError, match="larger than 0.005 GB"):
        with fetched(Url(f"{web}/endless.mp3")):
            pass
    assert list(temporary.iterdir()) == []
    monkeypatch.setenv("ALLIN1_DOWNLOAD_LIMIT", "much")
    with pytest.raises(SettingsError, match="ALLIN1_DOWNLOAD_LIMIT"):
        with fetched(Url(f"{web}/song.mp3")):
            pass


def test_a_download_ends_when_nobody_wants_it_any_more(web, temporary):
    answers = iter([True, True, False])
    with pytest.raises(InputError):
        with fetched(Url(f"{web}/silent.mp3"), lambda: next(answers)):
            pass
    assert list(temporary.iterdir()) == []


def test_a_disk_that_is_full_is_told_of(memory, temporary, monkeypatch):
    memory.pipe("/song.wav", b"bytes")
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "not there"))
    with (
        pytest.raises(InputError, match="A temporary file for it cannot be created"),
        fetched(Url("memory://song.wav")),
    ):
        pass
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    if Path("/dev/full").exists():
        full = Path("/dev/full").open
        monkeypatch.setattr(Path, "open", lambda self, mode: full("wb", 0))
        with pytest.raises(InputError, match="No space left"), fetched(Url("memory://song.wav")):
            pass


def test_without_fsspec_the_error_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "fsspec"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(InputError, match=r"pip install .*urls"), fetched(Url("https://h/a.mp3")):
        pass


def test_folders_and_patterns_at_urls_mean_their_songs(memory):
    for name in ("b.mp3", "a.flac", "cover.jpg", ".hidden.mp3", "disc 2/c.ogg"):
        memory.pipe(f"/album/{name}", b"")
    every = ["memory:///album/a.flac", "memory:///album/b.mp3", "memory:///album/disc 2/c.ogg"]
    for folder in ("memory://album", "memory://album/"):
        assert [str(url) for url in find_songs([folder]).songs] == every
    assert [str(url) for url in find_songs(["memory://album/*.mp3"]).songs] == every[1:2]
    found = find_songs(["memory://album/"], include=["*.jpg"])
    assert [url.name for url in found.songs] == ["cover.jpg"]
    found = find_songs(["memory://album/*.wav", "memory://album/b.mp3"])
    assert found.songs == [Url("memory://album/b.mp3")]
    assert "no audio at this URL" in str(found.errors[0])


def test_a_folder_on_the_web_means_the_songs_that_it_links_to(web):
    found = find_songs([f"{web}/album/", f"{web}/album/*.jpg", f"{web}/song?a=[1]"])
    assert [str(song).removeprefix(web) for song in found.songs] == [
        *("/album/a.flac", "/album/b.mp3", "/album/cover.jpg", "/song?a=[1]")
    ]
    assert find_songs([f"{web}/missing/"]).errors


def test_lists_may_name_urls(tmp_path):
    (tmp_path / "list.m3u").write_text("#EXTM3U\nhttps://host/a.mp3\nsong.mp3\n")
    found = find_songs([], [tmp_path / "list.m3u"])
    assert found.songs == [Url("https://host/a.mp3"), tmp_path / "song.mp3"]


@pytest.mark.parametrize(
    ("text", "stem", "path"),
    [
        ("https://host/a/My%20song.v2.mp3", "My song.v2", "/host/a/My song.v2.mp3"),
        ("s3://bucket/what?.mp3", "what?", "/bucket/what?.mp3"),
        ("zip://a/song.mp3::https://host/a.zip", "song", "/a/song.mp3"),
        ("https://host/..%2F..%2Fetc", ".._.", "/host/.._.._etc"),
    ],
)
def test_names_come_from_the_path_of_a_url(text, stem, path):
    url = Url(text)
    assert url.stem == stem
    assert url.as_path == Path(path)
    assert str(url) == os.fspath(url) == text
    assert is_url(url)
    assert is_url(text)


def test_what_lets_people_in_is_not_kept():
    one, other = (
        Url(f"https://me:word@host/a.mp3?id=5&X-Amz-Signature={s}").without_secrets for s in "ab"
    )
    for kept in (one, other):
        assert str(kept).startswith("https://host/a.mp3?id=5&")
    assert one != other  # still told apart
    plain = Url("https://host/a.mp3?b=1&a=%20+x#t")
    assert plain.without_secrets == plain
    chained = Url("zip://a.mp3::https://me:word@host/a.zip").without_secrets
    assert str(chained) == "zip://a.mp3::https://host/a.zip"
