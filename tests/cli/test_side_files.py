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


def test_a_picture_of_timings_replaces_nothing(tmp_path, isolated_plugins):
    pytest.importorskip("matplotlib")
    path = tmp_path / "s.png"
    path.write_bytes(b"cover")
    with pytest.raises(OutputError, match="exists already"):
        Observers(isolated_plugins(), None, path)
    assert path.read_bytes() == b"cover"


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


def test_a_report_and_timings_need_two_files(tmp_path, random_model, capsys):
    path = str(tmp_path / "lines")
    arguments = ["analyze", *random_model, "x.wav", "--report", path, "--timings-path", path]
    assert run(arguments) == 2
    assert "name the same file" in capsys.readouterr().err


def test_scores_replace_no_input_even_with_overwrite(tmp_path, capsys):
    from allin1_core.testing.results import write_example

    one, two = (write_example(tmp_path / name, "song") for name in "ab")
    before = two.read_bytes()
    for file, reason in ((two, "This is an input"), (tmp_path / "x.flac", "the name of a song")):
        assert run(["compare", str(one), str(two), "--csv", str(file), "--overwrite"]) == 2
        assert reason in capsys.readouterr().err
    assert two.read_bytes() == before
    assert run(["view", str(one), "-o", str(one), "--overwrite"]) == 2
