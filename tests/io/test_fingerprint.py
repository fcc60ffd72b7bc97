from __future__ import annotations

import os
from pathlib import Path

import pytest

from allin1_core.errors import AudioError
from allin1_core.io import fingerprint as module
from allin1_core.io.fingerprint import fingerprint

LONG_AGO = (1_000_000_000, 1_000_000_000)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.wav"
    path.write_bytes(b"a song")
    return path


def test_it_is_that_of_the_bytes_wherever_they_lie(song: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp3"
    copy.write_bytes(song.read_bytes())
    assert fingerprint(song).content == fingerprint(copy).content
    assert fingerprint(song).content == "blake2b:297931868b6f0f90c726a047982a3867"  # b2sum -l 128
    copy.write_bytes(b"b song")
    assert fingerprint(song).content != fingerprint(copy).content


def test_it_holds_while_the_content_is_the_same(song: Path) -> None:
    taken = fingerprint(song)
    assert taken.still_holds()
    song.touch()
    assert taken.still_holds()
    song.write_bytes(b"a song")
    assert taken.still_holds()


def test_it_holds_no_more_for_another_content_of_the_same_size_and_time(song: Path) -> None:
    os.utime(song, ns=LONG_AGO)
    taken = fingerprint(song)
    song.write_bytes(b"b song")
    os.utime(song, ns=LONG_AGO)
    assert not taken.still_holds()


def test_it_holds_no_more_for_a_file_that_is_gone_or_replaced(song: Path, tmp_path: Path) -> None:
    taken = fingerprint(song)
    other = tmp_path / "other"
    other.write_bytes(b"c song")
    other.replace(song)
    assert not taken.still_holds()
    song.unlink()
    assert not taken.still_holds()


def test_a_file_that_was_not_touched_is_not_read_again(
    song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_COARSE_S", -1.0)
    taken = fingerprint(song)
    monkeypatch.setattr(module, "fingerprint", lambda path: pytest.fail("it was read again"))
    assert taken.still_holds()


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.wav", tmp_path, tmp_path / "a\0b.wav"):
        with pytest.raises(AudioError):
            fingerprint(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AudioError, match="is not a regular file"):
        fingerprint(tmp_path / "pipe")


def test_a_file_that_is_written_to_all_the_time_is_told(
    song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = iter(range(100))

    def growing(found: os.stat_result) -> tuple[int, ...]:
        return (next(sizes),)

    monkeypatch.setattr(module, "_state", growing)
    with pytest.raises(AudioError, match="is being written to"):
        fingerprint(song)
