"""Files that nobody has touched since they were read are not read again, and every other file is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from allin1_core.cli.main import cli
from allin1_core.errors import AudioError
from allin1_core.io import fingerprint as fingerprints
from allin1_core.io.cache import ArrayCache
from allin1_core.io.fingerprint import fingerprint
from allin1_core.io.known_digests import ENTRY, KnownDigests

STATE = (1, 2, 3, 4, 5)
LIMIT = 10_000_000
#: What no file has: given back, it was remembered.
REMEMBERED = "blake2b:remembered"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows gives no change times")


@pytest.fixture
def cache(tmp_path: Path) -> ArrayCache:
    return ArrayCache(tmp_path / "cache", limit=LIMIT)


@pytest.fixture
def known(cache: ArrayCache) -> KnownDigests:
    return KnownDigests(cache)


@pytest.fixture
def song(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A song that was written an hour ago, as far as can be seen."""
    path = tmp_path / "song.wav"
    path.write_bytes(b"a song")
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 3600 * 10**9)
    return path


def remember(known: KnownDigests, song: Path) -> None:
    known.put(song, fingerprints._state(song.stat()), REMEMBERED)


def content(song: Path, known: KnownDigests | None) -> str:
    return fingerprint(song, known).content


def test_a_file_that_nobody_touched_is_read_once(song: Path, cache: ArrayCache) -> None:
    read = fingerprint(song, KnownDigests(cache))
    state = fingerprints._state(song.stat())
    assert KnownDigests(cache).get(song, state) == read.content
    remember(KnownDigests(cache), song)
    again = fingerprint(song, KnownDigests(cache))
    assert (again.content, again.size) == (REMEMBERED, read.size)
    assert again.still_holds()
    assert content(song, None) == read.content


def test_a_file_that_was_written_a_moment_ago_is_read_and_not_remembered(
    song: Path, cache: ArrayCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = song.stat().st_ctime_ns
    monkeypatch.setattr(time, "time_ns", lambda: changed + 10**9)
    right = content(song, KnownDigests(cache))
    assert not (cache.folder / f"{ENTRY}.a1cache").exists()
    remember(KnownDigests(cache), song)
    assert content(song, KnownDigests(cache)) == right


def test_a_time_in_the_future_is_not_trusted(song: Path, known: KnownDigests) -> None:
    os.utime(song, (4e9, 4e9))
    remember(known, song)
    assert content(song, known) == content(song, None)


def _written_over(song: Path) -> None:
    with song.open("r+b") as file:
        file.write(b"b song")


def _replaced(song: Path) -> None:
    other = song.with_name("other")
    other.write_bytes(b"b song")
    other.replace(song)


def _copied(song: Path) -> None:
    other = song.with_name("other")
    other.write_bytes(b"b song")
    before = song.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    shutil.copy2(other, song)  # as cp -p


@pytest.mark.parametrize("change", [_written_over, _replaced, _copied])
def test_another_content_of_the_same_size_and_time_is_read(
    song: Path, known: KnownDigests, change: object
) -> None:
    remember(known, song)
    before = song.stat()
    time.sleep(0.02)  # longer than the clock of a file system ticks
    assert callable(change)
    change(song)
    os.utime(song, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = song.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert content(song, known) == content(song, None) != REMEMBERED


def test_files_that_change_places_are_read(song: Path, known: KnownDigests, tmp_path: Path) -> None:
    other = tmp_path / "other.wav"
    other.write_bytes(b"b song")
    remember(known, song)
    song.replace(tmp_path / "third")
    other.replace(song)
    assert content(song, known) == content(song, None)


@pytest.mark.parametrize("part", range(5))
def test_a_file_is_told_apart_by_each_part_of_its_state(
    known: KnownDigests, tmp_path: Path, part: int
) -> None:
    known.put(tmp_path / "song", STATE, "blake2b:1")
    other = tuple(value + (place == part) for place, value in enumerate(STATE))
    assert known.get(tmp_path / "song", STATE) == "blake2b:1"
    assert known.get(tmp_path / "song", other) is None
    assert known.get(tmp_path / "other", STATE) is None


def test_a_file_is_known_by_all_its_names(song: Path, known: KnownDigests) -> None:
    remember(known, song)
    link = song.with_name("link.wav")
    link.symlink_to(song)
    assert content(link, known) == REMEMBERED


def test_a_file_that_may_not_be_read_is_still_an_error(
    song: Path, known: KnownDigests, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(known, song)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AudioError, match="Permission denied"):
        fingerprint(song, known)


def test_without_change_times_every_file_is_read(
    song: Path, known: KnownDigests, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(known, song)
    monkeypatch.setattr(fingerprints, "_SHOWS_CHANGES", False)
    assert content(song, known) == content(song, None)


@given(st.data())
def test_damage_costs_reading_and_never_gives_a_wrong_digest(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    cache = ArrayCache(tmp_path_factory.mktemp("cache"), limit=LIMIT)
    songs = [Path(f"/song{number}") for number in range(3)]
    digests = [f"blake2b:{number}" for number in range(3)]
    for song, digest in zip(songs, digests, strict=True):
        KnownDigests(cache).put(song, STATE, digest)
    path = cache.path_of(ENTRY)
    damaged = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(damaged) - 1))
    kind = data.draw(st.sampled_from(["change", "cut", "insert"]))
    if kind == "change":
        damaged[at] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del damaged[at : at + data.draw(st.integers(1, 100))]
    else:
        damaged[at:at] = data.draw(st.binary(min_size=1, max_size=100))
    path.write_bytes(damaged)
    known = KnownDigests(cache)
    found = [known.get(song, STATE) for song in songs]
    assert all(got in (None, wanted) for got, wanted in zip(found, digests, strict=True))
    for song, digest in zip(songs, digests, strict=True):
        known.put(song, STATE, digest)
    assert [KnownDigests(cache).get(song, STATE) for song in songs] == digests


def test_a_line_that_was_cut_short_does_not_spoil_the_next(cache: ArrayCache) -> None:
    KnownDigests(cache).put(Path("/one"), STATE, "blake2b:1")
    path = cache.path_of(ENTRY)
    path.write_bytes(path.read_bytes()[:-20])
    KnownDigests(cache).put(Path("/two"), STATE, "blake2b:2")
    assert KnownDigests(cache).get(Path("/one"), STATE) is None
    assert KnownDigests(cache).get(Path("/two"), STATE) == "blake2b:2"


@pytest.mark.parametrize("limit", [10, 100, 1000, 5000])
def test_what_is_remembered_is_bounded_and_the_newest_stays(tmp_path: Path, limit: int) -> None:
    cache = ArrayCache(tmp_path, limit=limit)
    known = KnownDigests(cache)
    for number in range(100):
        known.put(Path(f"/{number}"), STATE, f"blake2b:{number:032}")
        assert not cache.path_of(ENTRY).exists() or cache.info().size <= limit
    if limit >= 1000:
        assert KnownDigests(cache).get(Path("/99"), STATE) == f"blake2b:{99:032}"
        assert KnownDigests(cache).get(Path("/0"), STATE) is None


def test_a_strange_file_in_its_place_is_bounded_too(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, limit=1000)
    cache.path_of(ENTRY).write_bytes(b"x" * 100_000)
    known = KnownDigests(cache)
    assert known.get(Path("/one"), STATE) is None
    known.put(Path("/one"), STATE, "blake2b:1")
    assert KnownDigests(cache).get(Path("/one"), STATE) == "blake2b:1"
    assert cache.info().size <= 1000


def test_processes_share_it(cache: ArrayCache) -> None:
    program = (
        "import sys; from pathlib import Path; from allin1_core.io.cache import ArrayCache;"
        "from allin1_core.io.known_digests import KnownDigests;"
        f"known = KnownDigests(ArrayCache({str(cache.folder)!r}, limit={LIMIT}));"
        f"[known.put(Path(f'/{{sys.argv[1]}}/{{n}}'), {STATE}, f'blake2b:{{n}}') for n in range(300)]"
    )
    started = [subprocess.Popen([sys.executable, "-c", program, str(n)]) for n in range(3)]
    assert [process.wait() for process in started] == [0, 0, 0]
    known = KnownDigests(cache)
    for process in range(3):
        for number in range(300):
            assert known.get(Path(f"/{process}/{number}"), STATE) == f"blake2b:{number}"


def test_a_folder_that_cannot_be_written_costs_nothing_but_reading(
    song: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    known = KnownDigests(ArrayCache(tmp_path / "file" / "cache", limit=LIMIT))
    assert content(song, known) == content(song, None)


def test_names_that_are_no_text_are_known_too(known: KnownDigests) -> None:
    for name in ("/\udcff", "/a\nb", "/" + "n" * 5000):
        known.put(Path(name), STATE, "blake2b:1")
        assert known.get(Path(name), STATE) == "blake2b:1"


def test_the_commands_of_the_cache_count_and_remove_it(
    cache: ArrayCache, known: KnownDigests, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known.put(Path("/one"), STATE, "blake2b:1")
    assert cache.info().kinds.keys() == {"digests"}
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path))
    (tmp_path / "cache").rename(tmp_path / "arrays")
    assert "digests: " in CliRunner().invoke(cli, ["cache", "info"]).stdout
    assert CliRunner().invoke(cli, ["cache", "clear"]).exit_code == 0
    assert list((tmp_path / "arrays").iterdir()) == []
