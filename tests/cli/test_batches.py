"""Batches on the command line: inputs, what is up to date, reports, and what is made besides."""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile

from allin1_core.cli.main import run
from allin1_core.errors import OutputError
from allin1_core.io.results import load_result
from allin1_core.runtime.batch import Outcome
from allin1_core.runtime.extras import Extras
from allin1_core.runtime.track import Track
from allin1_core.testing.models import RANDOM_MODEL, write_random_model
from allin1_core.testing.signals import music_stems
from allin1_core.urls import Url


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


@pytest.fixture
def send(monkeypatch):
    """Send a file, or bytes, to stdin."""

    def send(path: Path | bytes) -> None:
        class Stdin:
            buffer = io.BytesIO(path.read_bytes() if isinstance(path, Path) else path)

        monkeypatch.setattr(sys, "stdin", Stdin)

    return send


def test_a_song_on_stdin_is_analysed(words, album, send, capsys):
    send(album / "a.wav")
    assert run([*words, "-", "--json"]) == 0
    from_stdin = json.loads(capsys.readouterr().out)
    assert run([*words, str(album / "a.wav"), "--json"]) == 0
    from_file = json.loads(capsys.readouterr().out)
    assert from_stdin["beats"] == from_file["beats"]
    assert from_stdin["written"] is None
    assert from_stdin["path"] == "-"
    assert from_stdin["provenance"]["input"]["files"][0]["path"] == "-"


def test_what_comes_on_stdin_has_a_name_and_replaces_nothing_else(
    words, album, send, tmp_path, capsys
):
    out = tmp_path / "out"
    for song, options, status, names in (
        ("a.wav", [], 0, ["stdin"]),
        ("a.wav", [], 0, ["stdin"]),
        ("b.wav", [], 6, ["stdin"]),
        ("b.wav", ["--name", "mine"], 0, ["mine", "stdin"]),
    ):
        send(album / song)
        assert run([*words, "-", "-o", str(out), *options]) == status
        assert sorted(path.stem for path in out.iterdir()) == names
    assert "another input" in capsys.readouterr().err
    send(album / "a.wav")
    assert run([*words, "-", "-o", str(out), "-a"]) == 0
    assert (out / "stdin.activ.npz").is_file()
    (tmp_path / "empty").touch()
    send(tmp_path / "empty")
    out = tmp_path / "out of both"
    assert run([*words, "-", str(album / "a.wav"), "-o", str(out)]) == 3
    assert "error: -: " in capsys.readouterr().err
    assert (out / "a.json").is_file()


def test_a_list_on_stdin_names_songs(words, album, send, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(album)
    out = tmp_path / "out"
    send(b"a.wav\n# no song\ndisc 2/c.wav\n")
    assert run([*words, "b.wav", "--from-list", "-", "-o", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.json", "b.json", "c.json"]
    capsys.readouterr()
    send(b"")
    assert run([*words, "b.wav", "--from-list", "-", "-o", str(out)]) == 3
    printed = capsys.readouterr()
    assert "error: -: The list contains no songs." in printed.err
    assert "b.json: up to date" in printed.out
    send(b"a.wav\n")
    assert run([*words, "-", "--from-list", "-", "-o", str(out)]) == 2
    assert "either a song" in capsys.readouterr().err


def test_a_list_that_nobody_sends_is_not_waited_for(words, tmp_path, capsys, monkeypatch):
    class Terminal(io.BytesIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Terminal()))
    assert run([*words, "--from-list", "-", "-o", str(tmp_path / "out")]) == 3
    assert "No list was sent to stdin" in capsys.readouterr().err


def test_a_song_keeps_its_name_beside_a_missing_one_of_that_name(words, album, tmp_path, capsys):
    out = tmp_path / "out"
    assert run([*words, "nowhere/a.wav", str(album / "a.wav"), "-o", str(out)]) == 3
    assert [path.name for path in out.iterdir()] == ["a.json"]
    assert "nowhere/a.wav: cannot be read" in capsys.readouterr().err


def test_inputs_that_mean_no_song_cost_themselves_alone(words, album, tmp_path, capsys):
    report = tmp_path / "report.jsonl"
    arguments = ["nothing*.mp3", str(album / "a.wav"), "--from-list", str(tmp_path / "none.txt")]
    arguments += ["-o", str(tmp_path / "out"), "--report", str(report)]
    assert run([*words, *arguments]) == 3
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1
    assert printed.err.index("none.txt") < printed.err.index("nothing*.mp3")
    assert "1 analysed, 2 failed" in printed.err
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert [(Path(line["input"]).name, line["status"]) for line in lines] == [
        ("none.txt", "failed"),
        ("nothing*.mp3", "failed"),
        ("a.wav", "done"),
    ]
    assert run([*words, "nothing*.mp3", "-o", str(tmp_path / "out")]) == 3
    assert "Nothing to analyse" not in capsys.readouterr().err
    assert run([*words, "-o", str(tmp_path / "out")]) == 2


def test_songs_at_urls_are_analysed_as_files_are(words, album, tmp_path, capsys, monkeypatch):
    fsspec = pytest.importorskip("fsspec", reason='URLs need "allin1-core[urls]"')
    pytest.importorskip("matplotlib", reason='pictures need "allin1-core[viz]"')
    files, out = fsspec.filesystem("memory"), tmp_path / "out"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    for name in ("a.wav", "b.wav"):
        files.pipe(f"/album/{name}", (album / name).read_bytes())
    files.pipe("/broken.wav", b"RIFF")
    broken = ["memory://other/a.wav", "memory://broken.wav"]
    arguments = [*words, "memory://album", *broken, "-o", str(out), "--json"]
    pictures = ["-v", "--viz-dir", str(tmp_path / "viz"), "--viz-format", "png"]
    sounds = ["-s", "--sonif-dir", str(tmp_path / "sonif")]
    assert run([*arguments, *pictures, *sounds]) == 3
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(line["written"]).name for line in lines[:2]] == ["album_a.json", "b.json"]
    assert lines[0]["path"] == "memory:///album/a.wav"
    assert lines[0]["provenance"]["input"]["files"][0]["path"] == "memory:///album/a.wav"
    assert lines[2]["path"] == "memory://other/a.wav"
    assert "does not exist" in lines[2]["error"]
    assert lines[3]["error"].startswith("memory://broken.wav: ")
    assert str(temporary) not in lines[3]["error"]
    assert len(list((tmp_path / "viz").iterdir())) == len(list((tmp_path / "sonif").iterdir())) == 2
    result = load_result(out / "album_a.json")
    assert isinstance(result.path, Url)
    assert run([*words, str(album / "a.wav"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["beats"] == lines[0]["beats"]

    # What has the same content is up to date; what changed is analysed again, as a file is.
    files.pipe("/album/b.wav", (album / "a.wav").read_bytes())
    assert run(arguments) == 3
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("status") for line in lines] == ["skipped", "done", None, None]
    assert list(temporary.iterdir()) == []
    files.store.clear()


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


def test_files_that_were_there_are_not_replaced_unasked(words, album, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason='pictures need "allin1-core[viz]"')
    mine = [album / "b.cue", album / "b.sonif.wav", album / "viz" / "b.png"]
    mine[-1].parent.mkdir()
    for path in mine:
        path.write_text("mine")
    arguments = [str(album / "b.wav"), str(album / "a.wav"), "-o", str(album), "--export", "cue"]
    arguments += ["-v", "--viz-dir", str(album / "viz"), "--viz-format", "png"]
    arguments += ["-s", "--sonif-dir", str(album)]
    assert run([*words, *arguments]) == 6
    errors = [line for line in capsys.readouterr().err.splitlines() if "exists already" in line]
    assert len(errors) == 3
    assert all(str(path) in "".join(errors) for path in mine)
    assert all("--overwrite" in line for line in errors)
    assert [path.read_text() for path in mine] == ["mine"] * 3
    assert (album / "b.json").is_file()
    for name in ("a.json", "a.cue", "a.sonif.wav", "viz/a.png"):
        assert (album / name).is_file()
    # Both results are up to date now, and what lies beside them is left as it is.
    assert run([*words, *arguments]) == 0
    assert [path.read_text() for path in mine] == ["mine"] * 3
    assert run([*words, *arguments, "--overwrite", "export,sonify"]) == 0
    assert [path.read_bytes() == b"mine" for path in mine] == [False, False, True]
    assert run([*words, *arguments, "--overwrite"]) == 0
    assert mine[-1].read_bytes() != b"mine"


def test_an_export_that_a_new_result_leaves_the_same_is_no_error(words, album, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = [str(album / "a.wav"), "-o", str(out), "--export", "cue", "--export", "traktor"]
    assert run([*words, *arguments]) == 0
    before = (out / "a.cue").read_bytes()
    assert run([*words, *arguments, "--overwrite", "json"]) == 0
    assert (out / "a.cue").read_bytes() == before
    (out / "a.cue").write_text("of an earlier result")
    assert run([*words, *arguments, "--overwrite", "json"]) == 6
    assert (out / "a.cue").read_text() == "of an earlier result"


def test_a_file_that_another_process_makes_meanwhile_is_no_error(tmp_path):
    outcome = Outcome(Track(source=tmp_path / "a.wav", name="a"))
    extras = Extras(viz_dir=tmp_path, viz_format="png")
    extras._there = frozenset()
    (tmp_path / "a.png").write_text("its")
    assert not extras._is_due(outcome, tmp_path / "a.png", "viz")
    extras._there = frozenset([tmp_path / "a.png"])
    with pytest.raises(OutputError, match="--overwrite"):
        extras._is_due(outcome, tmp_path / "a.png", "viz")


def test_a_collection_does_not_lose_earlier_songs_unasked(words, album, tmp_path, capsys):
    out = tmp_path / "out"
    rekordbox = ["-o", str(out), "--export", "rekordbox"]
    assert run([*words, str(album / "a.wav"), *rekordbox]) == 0
    collection = out / "allin1.rekordbox.xml"
    before = collection.read_bytes()
    assert run([*words, str(album / "a.wav"), *rekordbox]) == 0  # up to date
    capsys.readouterr()
    for _ in range(2):  # also where b is up to date: it is not in the collection
        assert run([*words, str(album / "b.wav"), *rekordbox]) == 6
        assert f"allin1 export {out} --to rekordbox --overwrite" in capsys.readouterr().err
        assert collection.read_bytes() == before
    assert run(["export", str(out), "--to", "rekordbox", "--overwrite"]) == 0
    text = collection.read_text("utf-8")
    assert "a.wav" in text
    assert "b.wav" in text
    assert run([*words, str(album / "b.wav"), *rekordbox, "--overwrite", "export"]) == 0
    assert "a.wav" not in collection.read_text("utf-8")


def test_arrays_without_a_result_are_not_replaced_unasked(words, album, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    arrays = out / "a.activ.npz"
    arrays.write_text("mine")
    for options in ([], ["-a"]):  # without -a they would be removed
        line = [*words, str(album / "a.wav"), str(album / "b.wav"), "-o", str(out), *options]
        assert run(line) == 6
        assert f"{arrays}: exists already" in capsys.readouterr().err
        assert arrays.read_text() == "mine"
        assert (out / "b.json").is_file()
    assert run([*words, str(album / "a.wav"), "-o", str(out), "-a", "--overwrite"]) == 0
    assert load_result(out / "a.json").activations is not None


def test_copies_of_arrays_are_not_replaced_unasked(words, album, tmp_path, capsys):
    copies = tmp_path / "arrays"
    copies.mkdir()
    (copies / "a.activ.npz").write_text("mine")
    line = [*words, str(album / "a.wav"), "-o", str(tmp_path / "out"), "-a"]
    assert run([*line, "--array-dir", str(copies)]) == 6
    assert "--overwrite" in capsys.readouterr().err
    assert (copies / "a.activ.npz").read_text() == "mine"
    assert run([*line, "--array-dir", str(copies), "--overwrite"]) == 0
    assert (copies / "a.activ.npz").read_bytes() == (tmp_path / "out/a.activ.npz").read_bytes()
    assert run([*line, "--array-dir", str(tmp_path / "out"), "--overwrite", "demix"]) == 0
