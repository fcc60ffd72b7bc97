"""Flags of the original's forks do what they did there, or say what replaces them."""

from __future__ import annotations

import shutil

import pytest

from allin1_core.cli import progress
from allin1_core.cli.main import run
from allin1_core.io.results import load_result


def test_flags_that_nothing_needs_say_so(random_model, song, tmp_path, capsys):
    out = ["-o", str(tmp_path / "out"), "--stems-dir", str(song)]
    assert run(["analyze", *random_model, *out, "--compile-model", "--spec-dir", "spec"]) == 0
    printed = capsys.readouterr().err
    assert "--compile-model is not needed" in printed
    assert "--spec-dir is not needed" in printed
    assert not (tmp_path / "spec").exists()
    assert run(["analyze", *random_model, *out, "-q", "--compile-model"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--no-multiprocess", "-j", "2"], "--no-multiprocess and -j 2 contradict"),
        (["--demucs-fp16", "--demix-precision", "float32"], "contradict"),
        (["--spec-fast-guard-seconds", "3"], "--guard, which checks every backend"),
        (["--quiet", "--verbose"], "--quiet or --verbose"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(flags, words, song, capsys):
    assert run(["analyze", "--stems-dir", str(song), *flags]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--spec-check", "--spec-fast-guard", "--guard"])
def test_checks_are_those_of_the_guard(flag, random_model, song, tmp_path, monkeypatch):
    from allin1_core.runtime import session

    seen = []
    init = session.Session.__init__
    monkeypatch.setattr(
        session.Session,
        "__init__",
        lambda self, *a, **k: (seen.append(k["guard"]), init(self, *a, **k))[1],
    )
    out = str(tmp_path / "out")
    assert run(["analyze", *random_model, "--stems-dir", str(song), "-o", out, flag]) == 0
    assert seen == [True]


def test_half_precision_is_that_of_the_separation(random_model, song, tmp_path, monkeypatch):
    from allin1_core.runtime import session

    seen = []
    init = session.Session.__init__
    monkeypatch.setattr(
        session.Session,
        "__init__",
        lambda self, *a, **k: (seen.append(k["demix"].precision), init(self, *a, **k))[1],
    )
    out = str(tmp_path / "out")
    flags = ["--stems-dir", str(song), "-o", out, "--demucs-fp16"]
    assert run(["analyze", *random_model, *flags]) == 0
    assert seen == ["float16"]


def test_the_cache_is_shown_and_cleared(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("ALLIN1_CACHE_LIMIT", "1M")
    assert run(["--cache-info"]) == 0
    assert "0 entries" in capsys.readouterr().out
    assert run(["analyze", "--clear-cache"]) == 0


def test_arrays_are_also_put_into_a_folder_of_their_own(random_model, song, tmp_path):
    out, arrays = tmp_path / "out", tmp_path / "arrays"
    line = ["analyze", *random_model, "--stems-dir", str(song), "-o", str(out), "-a", "-e"]
    assert run([*line, "--array-dir", str(arrays)]) == 0
    names = {"song.activ.npz", "song.embed.npy"}
    assert {p.name for p in arrays.iterdir()} == names
    for name in names:
        assert (arrays / name).read_bytes() == (out / name).read_bytes()
    shutil.rmtree(arrays)
    assert run([*line, "--array-dir", str(arrays)]) == 0  # the result is up to date
    assert {p.name for p in arrays.iterdir()} == names


def test_only_tempo_finds_beats_and_no_sections(random_model, song, tmp_path):
    out = str(tmp_path / "out")
    line = ["analyze", *random_model, "--stems-dir", str(song), "-o", out, "--only", "tempo"]
    assert run(line) == 0
    assert load_result(tmp_path / "out" / "song.json").provenance.outputs == ("beats",)


def test_stems_are_found_by_a_pattern_of_their_names(random_model, song, tmp_path, capsys):
    for name in ("song", "song2"):
        (tmp_path / f"{name}.wav").write_bytes((song / "drums.wav").read_bytes())
    for stem in ("bass", "drums", "other", "vocals"):
        shutil.copy(song / f"{stem}.wav", tmp_path / f"song2_({stem.capitalize()}).wav")
    line = ["analyze", *random_model, "-o", str(tmp_path / "out"), "--stems-pattern", "uvr"]
    assert run([*line, str(tmp_path / "song2.wav")]) == 0
    files = load_result(tmp_path / "out" / "song2.json").provenance.input["files"]
    assert files[0]["path"].endswith("song2_(Bass).wav")
    assert run([*line, str(tmp_path / "song.wav")]) == 3
    assert "song_(bass).wav" in capsys.readouterr().err
    assert run([*line[:-1], "{name}.wav", str(tmp_path / "song.wav")]) == 3
    assert "has no {stem}" in capsys.readouterr().err
    assert run([*line[:-1], "{stem}{other}", str(tmp_path / "song.wav")]) == 3
    assert "is invalid" in capsys.readouterr().err


def test_verbose_says_where_it_is_without_a_terminal(
    random_model, song, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(progress, "EVERY_S", 0.01)
    out = str(tmp_path / "out")
    assert run(["analyze", *random_model, "--stems-dir", str(song), "-o", out, "--verbose"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "of the song" in line]
    assert lines
    assert lines[0].startswith("allin1: 1/1 song: ")
