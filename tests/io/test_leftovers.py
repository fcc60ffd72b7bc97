"""What dead processes left is removed or put back; what living ones are writing is left in peace."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from allin1_core.contracts.result import AnalysisResult
from allin1_core.io import leftovers
from allin1_core.io.atomic import atomic_path
from allin1_core.io.leftovers import journal_path, new_file, new_folder
from allin1_core.io.replacing import restore, tidy
from allin1_core.io.results import ACTIVATIONS, load_result, save_result

pytestmark = pytest.mark.skipif(leftovers.fcntl is None, reason="Windows has no such locks")


@pytest.fixture(autouse=True)
def _first_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "first_time", lambda folder: True)
    monkeypatch.setattr("allin1_core.io.replacing.first_time", lambda folder: True)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_being_written_stays_and_what_was_left_goes(tmp_path: Path) -> None:
    file, folder = new_file(tmp_path / "a.json"), new_folder(tmp_path / "stems")
    (folder.path / "bass.wav").write_bytes(b"half")
    tidy(tmp_path)
    assert names(tmp_path) == sorted([file.path.name, folder.path.name])
    # As the system does when a process ends.
    file.release()
    folder.release()
    tidy(tmp_path)
    assert names(tmp_path) == []


def test_the_next_that_is_written_finds_what_was_left(tmp_path: Path) -> None:
    new_file(tmp_path / "a.json").release()
    with atomic_path(tmp_path / "b.json") as path:
        path.write_text("b")
    assert names(tmp_path) == ["b.json"]


def test_hidden_files_of_others_stay(tmp_path: Path) -> None:
    others = [".a.part", ".a-0123456789a.part", "a-0123456789ab.part", ".b~0123.old", ".c.old"]
    for name in others:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".x-0123456789ab.part").symlink_to(tmp_path / ".a.part")
    tidy(tmp_path)
    assert names(tmp_path) == sorted([*others, ".x-0123456789ab.part"])


def test_a_journal_that_was_hardly_begun_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "song.json"
    target.write_text("old")
    journal = journal_path(target)
    for part in (journal, journal / "was", journal / "new"):
        part.mkdir(parents=True)
        restore(target)
        assert names(tmp_path) == ["song.json"]
        assert target.read_text() == "old"


def test_a_folder_that_somebody_made_since_is_not_removed(tmp_path: Path) -> None:
    journal = journal_path(tmp_path / "song")
    for part in ("was", "new"):
        for kind in ("was", "new"):
            (journal / kind).mkdir(parents=True)
        (journal / part / "song").mkdir()
        (tmp_path / "song").mkdir(exist_ok=True)
        (tmp_path / "song" / "mine.txt").write_text("mine")
        tidy(tmp_path)
        assert names(tmp_path) == ["song"]
        assert (tmp_path / "song" / "mine.txt").read_text() == "mine"


def test_without_locks_only_what_is_old_is_taken_for_left_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "fcntl", None)
    part = new_file(tmp_path / "a.json")
    target = tmp_path / "song.json"
    target.write_text("new")
    journal = journal_path(target)
    for folder in (journal, journal / "was", journal / "new"):
        folder.mkdir()
    (journal / "was" / "song.json").write_text("old")
    tidy(tmp_path)
    restore(target)
    assert names(tmp_path) == sorted([part.path.name, journal.name, "song.json"])
    long_ago = time.time() - 3 * 86_400
    for path in (part.path, journal):
        os.utime(path, (long_ago, long_ago))
    tidy(tmp_path)
    assert names(tmp_path) == ["song.json"]
    assert target.read_text() == "old"


SAVING = """
import sys
from pathlib import Path
import numpy as np
from allin1_core.contracts.result import AnalysisResult
from allin1_core.io.results import ACTIVATIONS, save_result
for number in range(int(sys.argv[2]), 60, 2):
    arrays = {key: np.full(5, number, np.float32) for key in ACTIVATIONS}
    result = AnalysisResult(Path("song.wav"), number, [], [], [], [], activations=arrays)
    save_result(result, sys.argv[1], "song")
"""


def test_several_processes_that_save_one_result_never_mix_it(tmp_path: Path) -> None:
    first = AnalysisResult(
        Path("song.wav"), 100, [], [], [], [], {key: np.zeros(5, np.float32) for key in ACTIVATIONS}
    )
    save_result(first, tmp_path, "song")
    writers = [
        subprocess.Popen([sys.executable, "-c", SAVING, str(tmp_path), str(number)])
        for number in (1, 2)
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    loaded = load_result(tmp_path / "song.json")
    assert loaded.activations is not None
    assert (loaded.activations["beat"] == loaded.bpm).all()
    assert loaded.bpm in (58, 59)
    assert names(tmp_path) == ["song.activ.npz", "song.json"]
