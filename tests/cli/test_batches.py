"""Batches on the command line: inputs, what is up to date, reports, and what is made besides."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
import soundfile

from allin1_core.cli.main import run
from allin1_core.io.results import load_result
from allin1_core.testing.models import RANDOM_MODEL, write_random_model
from allin1_core.testing.signals import music_stems


@pytest.fixture
def words(tmp_path_factory, isolated_plugins, monkeypatch):
    """An analysis by the random model, which takes a mix here."""
    from dataclasses import replace

    from allin1_core.plugins import loading
    from allin1_core.testing.models import model_plugin

    folder = tmp_path_factory.mktemp("model")
    card = replace(write_random_model(folder, seed=11), takes="mix")
    plugins = isolated_plugins(model=model_plugin(card))
    monkeypatch.setattr(loading, "load_plugins", lambda **_: plugins)
    return ["analyze", "-m", RANDOM_MODEL, "--weights-dir", str(folder)]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    for seed, name in enumerate(("b.wav", "a.wav", "disc 2/c.wav")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        mix = 0.3 * music_stems(3.0, seed=seed).samples.sum(axis=0)
        soundfile.write(path, mix.T, 44_100)
    (folder / "cover.jpg").write_text("no song")
    return folder


def test_a_folder_is_analysed_and_then_up_to_date(words, album, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert run([*words, str(album), "-o", out]) == 0
    printed = capsys.readouterr()
    assert [line.partition(":")[0] for line in printed.out.splitlines()] == [
        f"{out}/{name}.json" for name in ("a", "b", "c")
    ]
    assert "3 analysed" in printed.err
    before = {path.name: path.read_bytes() for path in Path(out).iterdir()}
    assert run([*words, str(album), "-o", out]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [f"{out}/{name}.json: up to date" for name in "abc"]
    assert "3 up to date" in printed.err
    assert {path.name: path.read_bytes() for path in Path(out).iterdir()} == before


def test_overwrite_stands_alone_in_front_of_a_song(words, album, tmp_path, capsys):
    song, out = str(album / "a.wav"), str(tmp_path / "out")
    assert run([*words, song, "-o", out]) == 0
    capsys.readouterr()
    for given in (["--overwrite"], ["--overwrite", "json"], ["--overwrite=json,viz"]):
        assert run([*words, "-o", out, *given, song]) == 0
        assert "beats" in capsys.readouterr().out, given
    assert run([*words, "-o", out, "--overwrite", "demix", song]) == 0
    assert "up to date" in capsys.readouterr().out
    assert run([*words, "-o", out, "--overwrite=jsno", song]) == 2


def test_lists_and_patterns_name_songs_once(words, album, tmp_path, capsys):
    playlist = album / "list.m3u"
    playlist.write_text("#EXTM3U\nb.wav\ndisc 2/c.wav\n")
    arguments = [str(album / "b.wav"), "--from-list", str(playlist), str(album / "*.wav")]
    assert run([*words, *arguments, "-o", str(tmp_path / "out")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_song_on_stdin_is_analysed(words, album, tmp_path, monkeypatch, capsys):
    class Stdin:
        buffer = io.BytesIO((album / "a.wav").read_bytes())

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert run([*words, "-", "--json"]) == 0
    from_stdin = json.loads(capsys.readouterr().out)
    assert run([*words, str(album / "a.wav"), "--json"]) == 0
    from_file = json.loads(capsys.readouterr().out)
    assert from_stdin["beats"] == from_file["beats"]
    assert from_stdin["written"] is None


def test_json_alone_writes_no_file(words, album, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert run([*words, str(album / "a.wav"), "--json"]) == 0
    assert sorted(tmp_path.rglob("*")) == before
    assert json.loads(capsys.readouterr().out)["status"] == "done"


def test_the_report_has_a_line_for_each_song(words, album, tmp_path):
    (album / "broken.wav").write_bytes(b"RIFF")
    report = tmp_path / "report.jsonl"
    arguments = [str(album), "-o", str(tmp_path / "out"), "--report", str(report), "-q"]
    assert run([*words, *arguments]) == 3
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    by_name = {Path(line["input"]).name: line for line in lines}
    assert {n: line["status"] for n, line in by_name.items()} == {
        "a.wav": "done",
        "b.wav": "done",
        "c.wav": "done",
        "broken.wav": "failed",
    }
    assert by_name["a.wav"]["output"] == str(tmp_path / "out" / "a.json")
    assert by_name["broken.wav"]["error"]
    assert all(line["seconds"] >= 0 for line in lines)
    assert run([*words, *arguments]) == 3
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert sorted(line["status"] for line in lines) == ["failed"] + ["skipped"] * 3


def test_names_can_tell_models_apart(words, album, tmp_path):
    out = tmp_path / "out"
    arguments = [str(album / "a.wav"), "-o", str(out)]
    assert run([*words, *arguments, "--name", "{name}.{model}"]) == 0
    assert [path.name for path in out.iterdir()] == [f"a.{RANDOM_MODEL}.json"]
    assert run([*words, *arguments, "--name", "{nonsense}"]) == 2
    assert run([*words, str(album), "-o", str(out), "--name", "same"]) == 2


def test_pictures_sound_and_exports_are_made_with_the_results(words, album, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason='pictures need "allin1-core[viz]"')
    out, viz, sonif = tmp_path / "out", tmp_path / "viz", tmp_path / "sonif"
    arguments = [str(album), "-o", str(out), "-v", "--viz-dir", str(viz), "--viz-format", "png"]
    arguments += ["-s", "--sonif-dir", str(sonif), "--export", "beats", "--export", "rekordbox"]
    assert run([*words, *arguments]) == 0
    assert sorted(path.name for path in viz.iterdir()) == ["a.png", "b.png", "c.png"]
    assert sorted(p.name for p in sonif.iterdir()) == [f"{n}.sonif.wav" for n in "abc"]
    exported = {path.name for path in out.iterdir() if path.suffix != ".json"}
    assert exported == {"a.beats", "b.beats", "c.beats", "allin1.rekordbox.xml"}
    # What is up to date is left as it is, and what is missing is made.
    kept = (viz / "b.png").stat().st_mtime_ns
    (viz / "a.png").unlink()
    assert run([*words, *arguments]) == 0
    assert (viz / "a.png").is_file()
    assert (viz / "b.png").stat().st_mtime_ns == kept
    assert run([*words, *arguments, "--overwrite", "viz"]) == 0
    assert (viz / "b.png").stat().st_mtime_ns != kept


def test_a_picture_that_cannot_be_written_costs_no_result(words, album, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason='pictures need "allin1-core[viz]"')
    (tmp_path / "viz").mkdir()
    (tmp_path / "viz" / "a.pdf").mkdir()
    arguments = [str(album), "-o", str(tmp_path / "out"), "-v", "--viz-dir", str(tmp_path / "viz")]
    assert run([*words, *arguments]) == 6
    assert "a.pdf" in capsys.readouterr().err
    assert load_result(tmp_path / "out" / "a.json").beats is not None
    assert (tmp_path / "viz" / "b.pdf").is_file()


def test_an_unknown_export_format_is_refused_before_anything_runs(words, album, tmp_path):
    assert run([*words, str(album), "-o", str(tmp_path / "out"), "--export", "nope"]) == 5
    assert not (tmp_path / "out").exists()
