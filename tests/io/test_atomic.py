from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from allin1_core.errors import AudioError, OutputError
from allin1_core.io.atomic import atomic_files, atomic_path, check_folder
from allin1_core.io.leftovers import new_folder
from allin1_core.io.replacing import replace_together


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_when_the_block_ends_and_parents_are_made(tmp_path: Path) -> None:
    destination = tmp_path / "a" / "b" / "notes.txt"
    with atomic_path(destination) as path:
        path.write_text("new")
        assert not destination.exists()
        assert path.parent == destination.parent
    assert destination.read_text() == "new"
    assert names(destination.parent) == ["notes.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_whatever_ends_the_block_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    destination = tmp_path / "notes.txt"
    destination.write_text("old")

    def write_half() -> None:
        with atomic_path(destination) as path:
            path.write_text("half of the n")
            raise error

    with pytest.raises(error):
        write_half()
    assert destination.read_text() == "old"
    assert names(tmp_path) == ["notes.txt"]


def test_errors_of_our_own_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no samples"), atomic_path(tmp_path / "x"):
        raise AudioError("holds no samples.")
    assert names(tmp_path) == []


def test_a_full_disk_while_writing_names_the_destination(tmp_path: Path) -> None:
    destination = tmp_path / "notes.txt"
    with (
        pytest.raises(OutputError, match="the disk is full .No space left") as caught,
        atomic_path(destination),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.path == str(destination)
    assert names(tmp_path) == []


def test_a_failing_rename_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = tmp_path / "notes.txt"
    destination.write_text("old")

    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OutputError, match="Permission denied"), atomic_path(destination) as path:
        path.write_text("new")
    assert destination.read_text() == "old"
    assert names(tmp_path) == ["notes.txt"]


def test_a_parent_that_is_a_file_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match="cannot be written"),
        atomic_path(tmp_path / "file" / "x"),
    ):
        pytest.fail("the block must not be entered")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other limits on names")
def test_the_longest_name_that_fits_works_and_one_more_is_an_error(tmp_path: Path) -> None:
    longest = os.pathconf(tmp_path, "PC_NAME_MAX")
    with atomic_path(tmp_path / ("n" * longest)) as path:
        path.write_text("fits")
    assert (tmp_path / ("n" * longest)).read_text() == "fits"
    with pytest.raises(OutputError), atomic_path(tmp_path / ("n" * (longest + 1))) as path:
        path.write_text("does not")
    assert names(tmp_path) == ["n" * longest]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "notes.txt") as path:
            path.write_text("new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "notes.txt").stat().st_mode) == 0o640


def test_a_folder_is_never_replaced_by_a_file_nor_removed_beside_one(tmp_path: Path) -> None:
    folder = tmp_path / "a.pdf"
    folder.mkdir()
    (folder / "file.txt").write_text("mine")
    with pytest.raises(OutputError, match="directory"), atomic_path(folder) as path:
        path.write_text("new")
    with pytest.raises(OutputError, match="directory"):
        with atomic_files(tmp_path, ["a.pdf", "b.json"]) as new:
            new("b.json").write_text("new")
    assert (folder / "file.txt").read_text() == "mine"
    assert names(tmp_path) == ["a.pdf"]


def test_a_folder_never_replaces_a_file(tmp_path: Path) -> None:
    (tmp_path / "stems").write_text("mine")
    part = new_folder(tmp_path / "stems")
    with pytest.raises(NotADirectoryError):
        replace_together([(part, tmp_path / "stems")])
    part.discard()
    assert names(tmp_path) == ["stems"]
    assert (tmp_path / "stems").read_text() == "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets few make links")
def test_a_link_is_replaced_and_what_it_names_is_not(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file.txt").write_text("mine")
    (tmp_path / "link").symlink_to("folder")
    with atomic_path(tmp_path / "link") as path:
        path.write_text("new")
    assert (tmp_path / "link").read_text() == "new"
    assert (tmp_path / "folder" / "file.txt").read_text() == "mine"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_file_system_that_takes_no_files_is_told_and_is_not_called_full():
    with pytest.raises(OutputError, match="no file can be created in /proc") as caught:
        check_folder(Path("/proc/results"), 1000)
    assert "full" not in str(caught.value)


def test_a_file_system_that_does_not_tell_its_size_is_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=0, free=0))
    check_folder(tmp_path / "results", 1000)
    assert list(tmp_path.iterdir()) == []
