"""Printing ends no run, and names cannot do anything to a terminal."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

import allin1_core as allin1
from allin1_core.cli.main import run
from allin1_core.cli.printing import say_json

ALLIN1 = (sys.executable, "-m", "allin1_core")

posix = pytest.mark.skipif(os.name != "posix", reason="needs the signals and files of POSIX")
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")

STRANGE = "a\nb\x1b]0;title\a\u202egnp"
SHOWN = "a\\nb\\x1b]0;title\\a\\u202egnp"


@pytest.fixture
def strange(song, tmp_path):
    folder = tmp_path / STRANGE
    shutil.copytree(song, folder)
    return folder


@posix
def test_names_are_shown_escaped_and_results_have_them_as_they_are(
    random_model, strange, tmp_path, capsys
):
    out = tmp_path / "out"
    bad = tmp_path / f"bad{STRANGE}"
    command = ["analyze", *random_model, "--stems-dir", str(strange), "--stems-dir", str(bad)]
    assert run([*command, "-o", str(out), "--threshold", "1"]) == 3
    printed = capsys.readouterr()
    assert [line.partition(":")[0] for line in printed.out.splitlines()] == [
        str(out / f"{SHOWN}.json")
    ]
    warning, error, summary = printed.err.splitlines()
    assert summary == "allin1: 1 analysed, 1 failed"
    assert warning == f"allin1: {SHOWN}: No beats were found."
    assert error.startswith(f"allin1: error: {tmp_path / f'bad{SHOWN}'}: does not exist.")
    assert allin1.load_result(out / f"{STRANGE}.json").path == strange
    # For another input of the same name too, and in JSON as JSON has it.
    other = tmp_path / "other" / STRANGE
    shutil.copytree(strange, other)
    bass = next(other.glob("bass*"))
    samples, rate = soundfile.read(bass)
    soundfile.write(bass, samples / 2, rate)
    command = ["analyze", *random_model, "--stems-dir", str(other), "-o", str(out)]
    assert run(command) == 6
    printed = capsys.readouterr()
    (error,) = printed.err.splitlines()
    assert f"another input, {tmp_path / SHOWN}, and that of {tmp_path / 'other' / SHOWN}" in error
    assert run([*command, "--json"]) == 6
    assert len(capsys.readouterr().out.splitlines()) == 1


@posix
@pytest.mark.parametrize("words", [["ana\x1b[2Jlyze"], ["analyze", "x.wav", "--parity", "\x1b[2J"]])
def test_wrong_words_are_shown_escaped(capsys, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(words) in (2, 3)
    assert "\x1b" not in capsys.readouterr().err


def with_cache(folder, **variables):
    return {**os.environ, "ALLIN1_CACHE_DIR": str(folder), **variables}


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_what_stdout_cannot_encode_is_escaped(tmp_path, encoding):
    folder = tmp_path / "\u30ab\u30d5\u30a7"
    environment = with_cache(folder, PYTHONIOENCODING=encoding, ALLIN1_WEIGHTS_DIR="")
    ran = subprocess.run([*ALLIN1, "weights", "path"], env=environment, capture_output=True)
    assert (ran.returncode, ran.stderr) == (0, b"")
    path = str(folder / "weights")
    assert ran.stdout.strip() == path.encode(encoding, "backslashreplace")


@needs_full
def test_a_full_disk_behind_stdout_ends_no_analysis_and_is_told_at_the_end(
    random_model, song, tmp_path, capsys, monkeypatch
):
    out = tmp_path / "out"
    other = tmp_path / "other"
    shutil.copytree(song, other)
    folders = ["--stems-dir", str(song), "--stems-dir", str(other)]
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert run(["analyze", *random_model, *folders, "-o", str(out)]) == 6
    assert sorted(path.name for path in out.iterdir()) == ["other.json", "song.json"]
    summary, line = capsys.readouterr().err.splitlines()
    assert summary == "allin1: 2 analysed"
    assert line.startswith("allin1: error: Standard output cannot be written: the disk is full")


@needs_full
@pytest.mark.parametrize("words", [["weights", "path"], ["--help"], ["--version"]])
def test_a_full_disk_behind_a_stream_is_status_6_for_stdout_and_nothing_for_stderr(words):
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run([*ALLIN1, *words], stdout=full, stderr=subprocess.PIPE, text=True)
        assert ran.returncode == 6
        assert ran.stderr.count("\n") == 1
        assert "the disk is full" in ran.stderr
        ran = subprocess.run([*ALLIN1, *words], stdout=subprocess.DEVNULL, stderr=full)
        assert ran.returncode == 0
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run([*ALLIN1, "no-such-song.wav"], stdout=full, stderr=full)
        assert ran.returncode == 3


@posix
@pytest.mark.parametrize("words", [["weights", "path"], ["--help"], ["backends", "--json"]])
def test_a_reader_that_has_gone_is_status_141_without_a_word(words):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ran = subprocess.run([*ALLIN1, *words], stdout=writer, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writer)
    assert (ran.returncode, ran.stderr) == (141, "")


@posix
def test_closed_streams_are_no_error(tmp_path):
    command = f'"{sys.executable}" -m allin1_core weights path >&- 2>&-'
    assert subprocess.run(command, shell=True, env=with_cache(tmp_path)).returncode == 0


# What a signal ends: a run that is writing a file.
WRITING = """
import signal, sys, time
from pathlib import Path
from allin1_core.cli import main
from allin1_core.io.atomic import atomic_path

def write(**arguments):
    with atomic_path(Path(sys.argv[1]) / "a" / "b.json") as path:
        path.write_text("half")
        print("ready", flush=True)
        time.sleep(60)

main.cli.main = write
if sys.argv[2:]:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
sys.exit(main.run([]))
"""


def heed_signals():
    """Whoever runs the tests in the background may ignore signals, which is inherited."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def writing(folder, *words):
    return started(WRITING, str(folder), *words)


def started(code, *words):
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_signals,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@posix
@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_a_signal_leaves_nothing_half_written_and_no_empty_folder(tmp_path, name, status):
    process = writing(tmp_path)
    process.send_signal(getattr(signal, name))
    _, err = process.communicate()
    assert process.returncode == status
    assert err.strip() == "allin1: interrupted"
    assert list(tmp_path.iterdir()) == []


#: Sleeps in a callback from C, where Python discards exceptions, and then as long as it is told: an hour, which an
#: interrupt that is raised again must end, or not at all.
IN_CALLBACK = """
import ctypes, sys, time
from allin1_core.cli import main

def work(arguments):
    print("ready", flush=True)
    ctypes.CFUNCTYPE(None)(lambda: time.sleep(0.3))()
    time.sleep(float(sys.argv[1]))
    return 0

main._run = work
sys.exit(main.run([]))
"""


@posix
@pytest.mark.parametrize("seconds", ["3600", "0"])
@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_a_signal_is_not_lost_in_a_callback(name, status, seconds):
    process = started(IN_CALLBACK, seconds)
    process.send_signal(getattr(signal, name))
    try:
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == status
    assert err.strip() == "allin1: interrupted"


@posix
def test_under_nohup_a_hangup_ends_nothing(tmp_path):
    process = writing(tmp_path, "nohup")
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143


@posix
def test_the_handlers_of_a_program_that_calls_the_command_line_stay(monkeypatch):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    assert run(["--version"]) == 0
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before


def test_numbers_that_json_lacks_are_null(capsys):
    say_json({"a": [float("nan"), 1.5, (float("inf"), True)]})
    assert capsys.readouterr().out == '{"a": [null, 1.5, [null, true]]}\n'
