"""A file that a process is making is made by no other, and what a killed one leaves keeps nobody out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from allin1_core.io import claims
from allin1_core.io.claims import claim_path, try_claim
from allin1_core.io.leftovers import find_leftovers

OTHER = """
import pathlib, sys
from allin1_core.io import claims
if sys.argv[2] == "msvcrt":
    from test_claims import as_on_windows
    claims.fcntl, claims.msvcrt = None, as_on_windows(claims.fcntl)
claim = claims.try_claim(pathlib.Path(sys.argv[1]))
print("none" if claim is None else "claimed", flush=True)
sys.stdin.read()
"""


def as_on_windows(fcntl):
    """The module ``msvcrt`` of Windows, by the locks of this system."""
    if fcntl is None:
        return claims.msvcrt

    def locking(descriptor: int, mode: str, count: int) -> None:
        assert count == 1
        try:
            operations = {"lock": fcntl.LOCK_EX | fcntl.LOCK_NB, "unlock": fcntl.LOCK_UN}
            fcntl.flock(descriptor, operations[mode])
        except BlockingIOError as error:
            raise PermissionError(13, "Permission denied") from error

    return SimpleNamespace(locking=locking, LK_NBLCK="lock", LK_UNLCK="unlock")


@pytest.fixture(params=["fcntl", "msvcrt"])
def locks(request, monkeypatch) -> str:
    """Which module locks."""
    if request.param == "fcntl":
        if claims.fcntl is None:
            pytest.skip("there is no fcntl on Windows")
    else:
        monkeypatch.setattr(claims, "msvcrt", as_on_windows(claims.fcntl))
        monkeypatch.setattr(claims, "fcntl", None)
    return request.param


def other_process(target: Path, locks: str) -> tuple[subprocess.Popen, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(target), locks],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    return process, process.stdout.readline().strip()


def end(process: subprocess.Popen) -> None:
    process.kill()
    process.communicate()


def test_another_process_is_kept_out_until_the_claim_is_released(tmp_path, locks):
    target = tmp_path / "song.json"
    claim = try_claim(target)
    process, said = other_process(target, locks)
    end(process)
    assert said == "none"
    assert find_leftovers(tmp_path) == ([], [])  # it is somebody's
    claim.release()
    claim.release()
    assert list(tmp_path.iterdir()) == []
    process, said = other_process(target, locks)
    try:
        assert said == "claimed"
        assert try_claim(target) is None
        assert try_claim(tmp_path / "other.json") is not None
    finally:
        end(process)


def test_what_a_killed_process_leaves_keeps_nobody_out(tmp_path, locks):
    target = tmp_path / "song.json"
    process, said = other_process(target, locks)
    assert said == "claimed"
    end(process)
    assert claim_path(target).exists()
    if os.name != "nt":  # where age tells what is left over
        assert find_leftovers(tmp_path) == ([claim_path(target)], [])
    claim = try_claim(target)
    assert claim is not None
    claim.release()
    assert not claim_path(target).exists()


def test_a_folder_is_made_for_a_claim_and_removed_with_it(tmp_path, locks):
    target = tmp_path / "new" / "folder" / "song.json"
    claim = try_claim(target)
    assert claim_path(target).exists()
    claim.release()
    assert list(tmp_path.iterdir()) == []
    claim = try_claim(target)
    target.touch()
    claim.release()
    assert list(target.parent.iterdir()) == [target]


def test_a_process_does_not_keep_itself_out(tmp_path, locks):
    target = tmp_path / "song.json"
    first = try_claim(target)
    second = try_claim(tmp_path / "." / "song.json")
    assert second is not None
    second.release()
    process, said = other_process(target, locks)
    end(process)
    assert said == "none"
    first.release()


def test_where_nothing_can_be_locked_nobody_is_kept_out(tmp_path, locks, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError("no locks here")

    if locks == "fcntl":
        monkeypatch.setattr(claims.fcntl, "flock", refuse)
    else:
        monkeypatch.setattr(claims.msvcrt, "locking", refuse)
    assert try_claim(tmp_path / "song.json") is not None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    assert try_claim(tmp_path / "file" / "song.json") is not None


def test_without_either_module_everything_works_and_nobody_is_kept_out(tmp_path, monkeypatch):
    target = tmp_path / "new" / "song.json"
    monkeypatch.setattr(claims, "fcntl", None)
    monkeypatch.setattr(claims, "msvcrt", None)
    claim = try_claim(target)
    other = try_claim(target)
    for one in (claim, other):
        assert one is not None
        one.release()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_became_somebody_elses_is_not_removed_where_open_files_can_not_be(
    tmp_path, monkeypatch
):
    """On Windows a claim is removed after it was closed, and another process may have opened it by then."""
    target = tmp_path / "song.json"
    if claims.fcntl is not None:
        monkeypatch.setattr(claims, "msvcrt", as_on_windows(claims.fcntl))
        monkeypatch.setattr(claims, "fcntl", None)
    claim = try_claim(target)

    def in_use(self, missing_ok=False):
        raise PermissionError(32, "used by another process")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", in_use)
        claim.release()
    assert claim_path(target).exists()
    again = try_claim(target)
    assert again is not None
    again.release()
    assert list(tmp_path.iterdir()) == []
