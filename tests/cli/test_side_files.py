"""Reports, timings, tables and pictures never replace a song, or another file that was there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from allin1_core.cli.main import run
from allin1_core.cli.reporting import REPORT_KEYS
from allin1_core.errors import OutputError, SettingsError
from allin1_core.io.side_files import check_json_lines
from allin1_core.runtime.observers import Observers
from allin1_core.runtime.timings import Timing, append_timing, check_timings

LINE = json.dumps(dict.fromkeys(REPORT_KEYS)) + "\n"


@pytest.mark.parametrize("content", [b"", LINE.encode(), (LINE + LINE).encode()])
def test_an_earlier_report_may_be_replaced(tmp_path, content):
    path = tmp_path / "report.jsonl"
    check_json_lines(path, REPORT_KEYS, "report")
    path.write_bytes(content)
    check_json_lines(path, REPORT_KEYS, "report")


@pytest.mark.parametrize(
    "content",
    [b"RIFF\0\xff", b"notes\n", b"{\n}", b'{"beats": []}\n', b"[" * 9999, b"\n" + LINE.encode()],
)
def test_any_other_file_is_kept(tmp_path, content):
    path = tmp_path / "keep.json"
    path.write_bytes(content)
    with pytest.raises(OutputError, match=r"keep\.json: exists already, and is not a report"):
        check_json_lines(path, REPORT_KEYS, "report")


def test_a_suffix_of_audio_is_refused_even_if_there_is_no_such_file(tmp_path):
    with pytest.raises(SettingsError, match=r"t\.WAV: This is the name of a song"):
        check_json_lines(tmp_path / "t.WAV", REPORT_KEYS, "report")


def test_a_device_is_not_read():
    check_json_lines(Path("/dev/null"), REPORT_KEYS, "report")


def test_timings_are_appended_only_to_timings(tmp_path, isolated_plugins):
    path = tmp_path / "timings.jsonl"
    append_timing(path, Timing("nn", 0.0, 1.0, 1.0, "cpu", "m", "t"))
    check_timings(path)
    Observers(isolated_plugins(), path)
    path.write_text(LINE)
    with pytest.raises(OutputError, match="is not a file of timings"):
        Observers(isolated_plugins(), path)


@pytest.mark.parametrize("option", ["--report", "--timings-path"])
def test_analyze_refuses_before_anything_runs(tmp_path, random_model, option):
    songs = [tmp_path / "s1.wav", tmp_path / "song without suffix"]
    for song in songs:
        song.write_bytes(b"RIFF")
    arguments = ["analyze", *random_model, "-o", str(tmp_path / "out")]
    assert run([*arguments, option, str(songs[0]), str(songs[1])]) == 2
    assert run([*arguments, option, str(songs[1]), str(songs[0])]) == 6
    assert [song.read_bytes() for song in songs] == [b"RIFF", b"RIFF"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options", [("--report", "--timings-path"), ("--timings-path", "--timings-viz-path")]
)
def test_each_file_needs_a_name_of_its_own(tmp_path, random_model, capsys, options):
    path = str(tmp_path / "lines.pdf")
    files = [word for option in options for word in (option, path)]
    assert run(["analyze", *random_model, "x.wav", *files]) == 2
    assert f"{' and '.join(options)} name the same file" in capsys.readouterr().err


def test_scores_replace_no_input_even_with_overwrite(tmp_path, capsys):
    from allin1_core.testing.results import write_example

    one, two = (write_example(tmp_path / name, "song") for name in "ab")
    before = two.read_bytes()
    for file, reason in ((two, "This is an input"), (tmp_path / "x.flac", "the name of a song")):
        assert run(["compare", str(one), str(two), "--csv", str(file), "--overwrite"]) == 2
        assert reason in capsys.readouterr().err
    assert two.read_bytes() == before
    assert run(["view", str(one), "-o", str(one), "--overwrite"]) == 2


#: For each option: its command, a name of the file, and what happens to an existing file of the same kind without and
#: with ``--overwrite``. A missing file is always written; foreign files and songs are always kept.
OPTIONS = {
    "--report": ("analyze", "report.jsonl", "replaced", "replaced"),
    "--timings-path": ("analyze", "timings.jsonl", "appended", "appended"),
    "--timings-viz-path": ("analyze", "timings.svg", "kept", "replaced"),
    "--csv": ("evaluate", "scores.csv", "kept", "replaced"),
    "--picture": ("evaluate", "scores.png", "kept", "replaced"),
    "--out": ("view", "page.html", "kept", "replaced"),
}

#: Files of other kinds, by suffix; those of other options are foreign, too.
FOREIGN = {
    ".jsonl": [b'{"song": 1}\n', b"RIFF\0\0\0\0WAVE"],
    ".svg": [b"<svg/>", b"notes"],
    ".csv": [b"song,artist\nA,B\n", b"0.5,1\n1.0,2\n"],
    ".png": [b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WAVE"],
    ".html": [b"<!doctype html><title>allin1</title>", b"notes"],
}


@pytest.fixture
def write_file(random_model, song, tmp_path):
    """Run the command of an option, which writes the file; give its exit status."""
    from allin1_core.testing.results import write_example

    result = str(write_example(tmp_path / "results", "song"))
    arguments = {
        "analyze": ["analyze", *random_model, "--stems-dir", str(song), "--only", "sections"],
        "evaluate": ["evaluate", result, "--reference", result],
        "view": ["view", result],
    }
    arguments["analyze"] += ["-o", str(tmp_path / "out")]
    # The stages of a song that is up to date are not run.
    again = iter(range(99))

    def write(option: str, path: Path, *, overwrite: bool = False) -> int:
        words = arguments[OPTIONS[option][0]]
        if words[0] == "analyze":
            words = [*words, "--name", f"{next(again)}"]
        return run([*words, option, str(path), *["--overwrite"] * overwrite])

    return write


@pytest.mark.parametrize("option", OPTIONS)
def test_each_file_of_an_option_replaces_files_of_its_own_kind_only(write_file, tmp_path, option):
    pytest.importorskip("matplotlib")
    pytest.importorskip("mir_eval")
    _, name, without, with_overwrite = OPTIONS[option]
    path = tmp_path / name
    assert write_file(option, path) == 0
    own = path.read_bytes() + b"\nmarker\n"
    for overwrite, outcome in ((False, without), (True, with_overwrite)):
        path.write_bytes(own)
        status = write_file(option, path, overwrite=overwrite)
        assert status == (6 if outcome == "kept" else 0)
        now = path.read_bytes()
        if outcome == "kept":
            assert now == own
        elif outcome == "appended":
            assert now.startswith(own)
            assert len(now) > len(own)
        else:
            assert b"marker" not in now
            assert now


@pytest.mark.parametrize("option", OPTIONS)
def test_foreign_files_and_songs_are_kept_even_with_overwrite(write_file, tmp_path, capsys, option):
    pytest.importorskip("matplotlib")
    pytest.importorskip("mir_eval")
    path = tmp_path / OPTIONS[option][1]
    for content in FOREIGN[path.suffix]:
        path.write_bytes(content)
        for overwrite in (False, True):
            assert write_file(option, path, overwrite=overwrite) == 6
            assert f"{path}: exists already" in capsys.readouterr().err
        assert path.read_bytes() == content
    path = tmp_path / "song.wav"
    for content in (None, b"RIFF\0\0\0\0WAVE"):
        if content is not None:
            path.write_bytes(content)
        for overwrite in (False, True):
            assert write_file(option, path, overwrite=overwrite) == 2
            assert "the name of a song" in capsys.readouterr().err
        assert path.exists() == (content is not None)
    assert path.read_bytes() == b"RIFF\0\0\0\0WAVE"


def test_an_empty_file_is_replaced_with_overwrite(write_file, tmp_path):
    pytest.importorskip("mir_eval")
    path = tmp_path / "scores.csv"
    path.touch()
    assert write_file("--csv", path) == 6
    assert write_file("--csv", path, overwrite=True) == 0


def test_one_kind_of_own_file_does_not_replace_another(write_file, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("mir_eval")
    path = tmp_path / "picture.pdf"
    assert write_file("--picture", path) == 0
    scores = path.read_bytes()
    assert write_file("--timings-viz-path", path, overwrite=True) == 6
    assert path.read_bytes() == scores
    path = tmp_path / "lines.jsonl"
    assert write_file("--report", path) == 0
    assert write_file("--timings-path", path, overwrite=True) == 6


def test_a_device_is_not_replaced(write_file, capsys):
    pytest.importorskip("mir_eval")
    assert write_file("--csv", Path("/dev/null"), overwrite=True) == 6
    assert "/dev/null: exists already" in capsys.readouterr().err
    assert Path("/dev/null").is_char_device()
