"""The command line as a whole: what it imports, how it fails, and how it finds its command."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import pytest

from allin1_core.cli.main import COMMANDS, run
from allin1_core.io import audio
from allin1_core.runtime.session import Session


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["analyze", "--help"], []])
def test_help_imports_no_numpy_and_no_backend(arguments):
    code = (
        "import sys; from allin1_core.cli.main import run; status = run(sys.argv[1:]);"
        "heavy = {'numpy', 'torch', 'soundfile', 'rich', 'pooch', 'platformdirs'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else status)"
    )
    ran = python(code, *arguments)
    assert ran.returncode in (0, 2), ran.stderr
    assert "imported" not in ran.stderr


def test_importing_the_package_imports_no_numpy():
    ran = python("import sys, allin1_core; sys.exit('numpy' in sys.modules)")
    assert ran.returncode == 0
    ran = python(
        "import allin1_core as a; [getattr(a, n) for n in a.__all__]; print(a.__version__)"
    )
    assert ran.returncode == 0, ran.stderr


def test_help_lists_every_command(capsys):
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {name}" in out for name in COMMANDS)


def test_a_song_without_a_command_is_analysed(capsys, tmp_path):
    missing = str(tmp_path / "song.wav")
    report = str(tmp_path / "report")
    # No option is mistaken for a command of a similar name, such as "cache" or "export".
    options = (["-o", str(tmp_path)], ["--no-cache"], ["--report", report], ["--only", "beats"])
    for arguments in ([missing], ["analyze", missing], *([*one, missing] for one in options)):
        assert run(arguments) == 3
        assert f"{missing}: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("allin1 vi", ["plain,view", "plain,visualize"]),
        ("allin1 son", ["plain,sonify"]),
        ("allin1 --trac", ["plain,--traceback"]),
        ("allin1 songs/a", ["file,songs/a"]),  # the shell lists the files
        ("allin1 analyze --tempo-pr", ["plain,--tempo-prior"]),
        ("allin1 songs/a.mp3 --tempo-pr", ["plain,--tempo-prior"]),
        ("allin1 plugn --tempo-pr", ["plain,--tempo-prior"]),  # may be a song
    ],
)
def test_the_shell_completes_words(words, offered):
    asked = {
        "_ALLIN1_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    command = [sys.executable, "-m", "allin1_core"]
    answer = subprocess.run(
        command, env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert (answer.stdout.split(), answer.stderr, answer.returncode) == (offered, "", 0)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_shell_is_told_how_to_complete(shell):
    command = [sys.executable, "-m", "allin1_core"]
    asked = {**os.environ, "_ALLIN1_COMPLETE": f"{shell}_source"}
    answer = subprocess.run(command, env=asked, capture_output=True, text=True, check=False)
    assert "_ALLIN1_COMPLETE" in answer.stdout
    assert (answer.stderr, answer.returncode) == ("", 0)


def test_a_misspelt_command_is_not_taken_for_a_song(capsys):
    assert run(["backend"]) == 2
    assert "Did you mean backends?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["analyze"], "Nothing to analyse"),
        (["analyze", "x.wav", "--stems-bass", "b.wav"], "missing: --stems-drums"),
        (["analyze", "x.wav", "-b", "nn"], "not of the form STAGE=NAME"),
        (["analyze", "x.wav", "--beats-per-bar", "three"], "not of the form 3,4"),
        (["analyze", "x.wav", "--tempo-prior", "fast"], "such as 120,0.7"),
        (["analyze", "x.wav", "--tempo-prior", "120,0.7,1,2"], "such as 120,0.7"),
        (["analyze", "x.wav", "--tempo-prior", "120,0"], "wanted 0.01 to 100"),
        (["analyze", "x.wav", "--threads", "0"], "--threads"),
        (["analyze", "x.wav", "--no-such-option"], "--no-such-option"),
        (["analyze", "x.wav", "--min-bpm", "300"], "The tempo range is 300.0 to 215.0 bpm"),
        (["analyze", "x.wav", "--max-bpm", "nan"], "The tempo range is 55.0 to nan bpm"),
        (["analyze", "x.wav", "--max-bpm", "1e9"], "The tempo range is 55.0 to 1000000000.0 bpm"),
        (["analyze", "x.wav", "--beats-per-bar", "0"], "--beats-per-bar is 0; wanted numbers from"),
        (["analyze", "x.wav", "--beats-per-bar", "3,1000"], "--beats-per-bar is 3,1000; wanted"),
        (["analyze", "x.wav", "--name", ""], "Invalid value for --name: it is empty"),
        (["analyze", "x.wav", "--num-tempi", "-1"], "--num-tempi is -1"),
        (["analyze", "x.wav", "--transition-lambda", "0"], "--transition-lambda is 0"),
        (["analyze", "x.wav", "--observation-lambda", "1"], "--observation-lambda is 1"),
        (["analyze", "x.wav", "--threshold", "2"], "--threshold is 2.0"),
        (["analyze", "x.wav", "--demucs-overlap", "2"], "--demucs-overlap is 2.0"),
        (["analyze", "x.wav", "--demucs-shifts", "-1"], "--demucs-shifts is -1"),
        (["analyze", "x.wav", "--demucs-segment", "inf"], "--demucs-segment is inf"),
        (["analyze", "x.wav", "--demucs-weights", "random:x"], "--demucs-weights is random:x"),
        (["analyze", "x.wav", "--demix-seed", "-1"], "--demix-seed is -1"),
        (["analyze", "x.wav", "--demix-batch-size", "0"], "--demix-batch-size is 0"),
        (["bench", "--demucs-weights", "random:x"], "--demucs-weights is random:x"),
        *((["bench", "--seconds", text], "--seconds") for text in ("0,1", "2,1", "1,nan", "1")),
        *(
            (["explain", "--seconds", text], "--seconds")
            for text in ("0", "-5", "nan", "1e99", "x")
        ),
        (["backends", "--seconds", "nan"], "--seconds"),
    ],
)
def test_wrong_use_is_status_2_with_a_sentence(capsys, arguments, message):
    assert run(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["analyze", "x.wav", "-m", "harmonix-al"], 5, "Did you mean harmonix-all?"),
        (["analyze", "x.wav", "-b", "nn=abacus"], 5, "No backend of stage nn is called abacus"),
        (["analyze", "x.wav", "-b", "nm=torch"], 5, "There is no stage nm"),
        (["analyze", "a.wav", "b.wav", "--stems-dir", "x", "--stems-dir", "y"], 3, "matched"),
    ],
)
def test_what_a_person_can_mend_is_one_line_without_a_traceback(capsys, arguments, status, message):
    assert run(arguments) == status
    err = capsys.readouterr().err
    errors = [line for line in err.splitlines() if line.startswith("allin1: error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in err


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "arguments",
    [
        ["analyze", "x.wav", "-m", "abacus"],
        ["x.wav", "-m", "abacus"],
        ["backends", "-m", "abacus"],
        ["bench", "-m", "abacus"],
        ["explain", "-m", "abacus"],
        ["weights", "path", "abacus"],
    ],
)
def test_a_traceback_is_shown_by_every_command_when_asked_for(capsys, arguments, first):
    where = 0 if first else len(arguments)
    assert run([*arguments[:where], "--traceback", *arguments[where:]]) == 5
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert "allin1: error: There is no model called 'abacus'" in err


def test_what_comes_after_two_hyphens_is_no_option(capsys):
    assert run(["explain", "--seconds", "9", "--", "--traceback"]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("before", [[], ["--strict"]])
def test_songs_come_after_two_hyphens_whatever_they_are_called(capsys, before):
    assert run([*before, "--", "-dash.mp3"]) != 0
    assert "-dash.mp3" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["analyze", "-dash.mp3"],
        ["-dash.mp3"],
        ["-e.wav"],
        ["analyze", "--dash.flac"],
        ["analyze", "song.wav", "-dash.mp3"],
        ["explain", "-dash.mp3"],
        ["analyze", "-there"],
    ],
)
def test_a_file_that_was_taken_for_an_option_is_told_how_to_be_named(
    capsys, tmp_path, monkeypatch, arguments
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-there").touch()
    assert run(arguments) != 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith(f"write ./{arguments[-1]}, or put -- before the files.")


@pytest.mark.parametrize(
    "arguments",
    [["analyze", "--typo"], ["analyze", "--stems-bass=x.wav"], ["explain", "--", "-dash.mp3"]],
)
def test_options_are_not_taken_for_files(capsys, arguments):
    assert run(arguments) != 0
    assert "was read as an option" not in capsys.readouterr().err


def test_doctor_names_the_libraries_that_read_audio(capsys):
    run(["doctor", "-m", "builtin", "--json"])
    checks = json.loads(capsys.readouterr().out)
    texts = [check["text"] for check in checks if check["name"] == "audio"]
    assert texts[0].startswith("libsndfile ")


def test_backends_are_listed_for_programs(capsys):
    assert run(["backends", "--json"]) == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert set(stages) == {
        *("demix", "spectrogram", "nn", "metrical_prep", "metrical_dbn", "functional")
    }
    for stage, found in stages.items():
        if stage != "demix":
            assert sum(one["chosen"] for one in found) == 1, stage
            assert any(one["name"].startswith("reference") and one["eligible"] for one in found)


def test_weights_that_were_never_published_are_not_said_to_be_fetched(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("ALLIN1_WEIGHTS_DIR", raising=False)
    assert run(["doctor", "-m", "builtin@1.0", "--json"]) == 1
    (weights,) = [c for c in json.loads(capsys.readouterr().out) if c["name"] == "weights"]
    assert weights["state"] == "wrong"
    for words in (["weights", "path", "builtin-0@1.0"], ["weights", "fetch", "builtin-0@1.0"]):
        assert run(words) == 4
        err = capsys.readouterr().err
        assert "cannot be downloaded" in err
        assert "ALLIN1_WEIGHTS_DIR" in err
        assert "Downloading" not in err
        assert "weights fetch" not in err
    assert run(["weights", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (own,) = [line for line in lines if line.startswith("builtin-0@1.0 ")]
    assert "not here, not published" in own


def test_doctor_finds_damaged_weights_and_says_what_to_do(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("ALLIN1_WEIGHTS_DIR", raising=False)
    assert run(["doctor", "-m", "harmonix-fold0", "--json"]) == 0
    states = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert "allin1 weights fetch harmonix-fold0" in states["weights"]["remedy"]
    (tmp_path / "harmonix-fold0_mlx.npz").write_bytes(b"half a download")
    options = ["-m", "harmonix-fold0", "--json", "--weights-dir", str(tmp_path)]
    assert run(["doctor", *options]) == 1
    states = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert states["weights"]["state"] == "wrong"
    assert "Truncated" in states["weights"]["text"]


def audio_checks(capsys):
    run(["doctor", "-m", "harmonix-fold0", "--json"])
    return [c for c in json.loads(capsys.readouterr().out) if c["name"] == "audio"]


def fake_distribution(folder, name):
    info = folder / f"{name}-99.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 99.0\n")


def test_doctor_is_not_misled_by_a_folder_called_av(capsys, tmp_path, monkeypatch):
    (tmp_path / "av").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    # What is imported from there goes again with the test.
    monkeypatch.setitem(sys.modules, "av", None)
    del sys.modules["av"]
    monkeypatch.setattr(audio, "has_pyav", lambda: False)
    _, pyav = audio_checks(capsys)
    assert pyav["state"] == "note"
    assert "[av]" in pyav["remedy"]
    # With the distribution installed, a package of that name still hides the library.
    (tmp_path / "av" / "__init__.py").touch()
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "av", raising=False)
    fake_distribution(tmp_path, "av")
    monkeypatch.setattr(audio, "has_pyav", lambda: True)
    _, pyav = audio_checks(capsys)
    assert pyav["state"] == "note"
    assert "PyAV 99.0 cannot be imported (AttributeError" in pyav["text"]


def test_pyav_is_known_by_its_distribution(tmp_path, monkeypatch):
    try:
        installed = bool(version("av"))
    except PackageNotFoundError:
        installed = False
    (tmp_path / "av").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert audio.has_pyav() == installed
    fake_distribution(tmp_path, "av")
    assert audio.has_pyav()


def test_a_model_of_a_plugin_that_is_not_here_says_which(capsys, monkeypatch, isolated_plugins):
    monkeypatch.setattr("allin1_core.cli.explain.load_plugins", lambda ctx: isolated_plugins())
    assert run(["explain", "-m", "madmom-rnn"]) == 5
    assert re.search("pip install .*allin1-madmom", capsys.readouterr().err)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), SystemExit(3)])
def test_doctor_makes_the_other_checks_where_one_cannot_be_made(capsys, monkeypatch, error):
    def broken(*_, **options):
        raise error

    monkeypatch.setattr(Session, "candidates", broken)
    assert run(["doctor", "-m", "harmonix-fold0", "--json"]) == 1
    checks = json.loads(capsys.readouterr().out)
    (wrong,) = [check for check in checks if check["state"] == "wrong"]
    assert wrong["name"] == "route"
    assert type(error).__name__ in wrong["text"]
    assert {"machine", "plugin", "audio"} <= {check["name"] for check in checks}


def test_sys_exit_that_nobody_caught_is_an_error_and_no_silent_end(capsys, monkeypatch):
    monkeypatch.setattr(Session, "explain", lambda *_, **options: sys.exit(0))
    assert run(["explain", "--seconds", "10"]) == 1
    assert "called sys.exit(0)" in capsys.readouterr().err
