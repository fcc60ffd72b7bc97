"""An input that cannot be read is an error of its own; the others are still processed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from allin1_core.cli.main import run
from allin1_core.testing.results import write_example


@pytest.fixture
def deny(monkeypatch):
    """Deny reading a path, also to root, who may read everything."""
    denied = set()
    access, opened, listed = os.access, Path.open, Path.iterdir

    def check(path):
        if os.fspath(path) in denied:
            raise PermissionError(13, "Permission denied", os.fspath(path))

    def iterdir(path):
        check(path)
        return listed(path)

    def open_(path, *arguments, **named):
        check(path)
        return opened(path, *arguments, **named)

    monkeypatch.setattr(os, "access", lambda p, m, **k: str(p) not in denied and access(p, m, **k))
    monkeypatch.setattr(Path, "iterdir", iterdir)
    monkeypatch.setattr(Path, "open", open_)
    return lambda path: denied.add(os.fspath(path))


def test_an_unreadable_song_or_list_does_not_end_the_batch(random_model, tmp_path, capsys, deny):
    names = ("secret.wav", "list.txt", "notes.wav")
    secret, listed, other = (tmp_path / name for name in names)
    for path in (secret, listed, other):
        path.write_text("not audio")
        deny(path)
    arguments = ["analyze", *random_model, "-o", str(tmp_path / "out"), str(secret), str(other)]
    assert run([*arguments, "--from-list", str(listed)]) == 3
    printed = capsys.readouterr().err
    assert all(str(path) in printed for path in (secret, other, listed))
    assert "3 failed" in printed


@pytest.mark.parametrize("command", [["export", "--to", "csv"], ["visualize"]])
def test_an_unreadable_result_or_folder_does_not_end_a_command(tmp_path, capsys, deny, command):
    pytest.importorskip("matplotlib")
    good, bad = (write_example(tmp_path / name, name) for name in ("good", "bad"))
    deny(bad)
    (tmp_path / "closed").mkdir()
    deny(tmp_path / "closed")
    name, *options = command
    out = tmp_path / "out"
    inputs = [str(tmp_path / "closed"), str(bad), str(good)]
    assert run([name, *inputs, *options, "-o", str(out)]) == 3
    printed = capsys.readouterr().err
    assert f"{tmp_path / 'closed'}: The folder cannot be read: Permission denied." in printed
    assert f"{bad}: cannot be read: Permission denied." in printed
    assert [file.name.partition(".")[0] for file in out.iterdir()] == ["good"]


@pytest.mark.parametrize("command", ["evaluate", "compare"])
def test_an_unreadable_folder_of_results_is_an_input_error(tmp_path, capsys, deny, command):
    (tmp_path / "closed").mkdir()
    write_example(tmp_path / "open", "song")
    deny(tmp_path / "closed")
    second = ["--reference"] * (command == "evaluate") + [str(tmp_path / "open" / "song.json")]
    folder = [str(tmp_path / "open")] if command == "compare" else second
    assert run([command, str(tmp_path / "closed"), *folder]) == 3
    assert "The folder cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["export", "--to", "csv"], ["visualize"], ["sonify"]])
def test_a_result_that_does_not_exist_does_not_end_a_command(tmp_path, capsys, command):
    pytest.importorskip("matplotlib")
    good = write_example(tmp_path, "good")
    name, *options = command
    out = tmp_path / "out"
    arguments = [name, *options, "-o", str(out)]
    assert run([*arguments, str(tmp_path / "absent.json"), str(good)]) == 3
    printed = capsys.readouterr()
    assert "absent.json" in printed.err
    assert ("good" in printed.out) == (name != "sonify")  # the example has no audio
    assert run([*arguments, ""]) == 2
    assert "the name is empty" in capsys.readouterr().err


def test_songs_that_can_be_read_are_viewed(tmp_path, capsys, monkeypatch):
    from allin1_core.page.server import PageServer

    write_example(tmp_path, "good")
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    served = []
    monkeypatch.setattr(
        PageServer, "serve_forever", lambda self: served.extend(e.name for e in self.entries)
    )
    arguments = ["view", "--no-open", str(tmp_path / "absent.json")]
    assert run([*arguments, str(tmp_path)]) == 3
    assert served == ["good"]
    assert str(bad) in capsys.readouterr().err
    assert run([*arguments, str(bad)]) == 3
    printed = capsys.readouterr()
    assert "absent.json" in printed.err
    assert "http" not in printed.out


def test_a_file_that_is_no_result_is_an_input_error(tmp_path):
    path = tmp_path / "song.json"
    path.write_text("no JSON")
    assert run(["export", str(path), "--to", "csv"]) == 3
