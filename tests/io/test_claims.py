"""A file that a process is making is made by no other, and what a killed one leaves keeps nobody out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from allin1_core.io.claims import claim_path, try_claim
from allin1_core.io.leftovers import find_leftovers

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there are no claims on Windows")

OTHER = """
import pathlib, sys
from allin1_core.io.claims import try_claim
claim = try_claim(pathlib.Path(sys.argv[1]))
print("none" if claim is None else "claimed", flush=True)
sys.stdin.read()
"""


def other_process(target: Path) -> tuple[subprocess.Popen, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, process.stdout.readline().strip()


def end(process: subprocess.Popen) -> None:
    process.kill()
    process.communicate()


def test_another_process_is_kept_out_until_the_claim_is_released(tmp_path):
    target = tmp_path / "song.json"
    claim = try_claim(target)
    process, said = other_process(target)
    end(process)
    assert said == "none"
    assert find_leftovers(tmp_path) == ([], [])  # it is somebody's
    claim.release()
    claim.release()
    assert list(tmp_path.iterdir()) == []
    process, said = other_process(target)
    try:
        assert said == "claimed"
        assert try_claim(target) is None
        assert try_claim(tmp_path / "other.json") is not None
    finally:
        end(process)


def test_what_a_killed_process_leaves_keeps_nobody_out(tmp_path):
    target = tmp_path / "song.json"
    process, said = other_process(target)
    assert said == "claimed"
    end(process)
    assert claim_path(target).exists()
    assert find_leftovers(tmp_path) == ([claim_path(target)], [])
    claim = try_claim(target)
    assert claim is not None
    claim.release()
    assert not claim_path(target).exists()


def test_a_folder_is_made_for_a_claim_and_removed_with_it(tmp_path):
    target = tmp_path / "new" / "folder" / "song.json"
    claim = try_claim(target)
    assert claim_path(target).exists()
    claim.release()
    assert list(tmp_path.iterdir()) == []
    claim = try_claim(target)
    target.touch()
    claim.release()
    assert list(target.parent.iterdir()) == [target]


def test_a_process_does_not_keep_itself_out(tmp_path):
    target = tmp_path / "song.json"
    first = try_claim(target)
    second = try_claim(tmp_path / "." / "song.json")
    assert second is not None
    second.release()
    process, said = other_process(target)
    end(process)
    assert said == "none"
    first.release()


def test_where_nothing_can_be_locked_nobody_is_kept_out(tmp_path, monkeypatch):
    from allin1_core.io import claims

    def refuse(*_: object) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr(claims.fcntl, "flock", refuse)
    assert try_claim(tmp_path / "song.json") is not None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    assert try_claim(tmp_path / "file" / "song.json") is not None
