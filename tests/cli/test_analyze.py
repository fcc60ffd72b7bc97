"""``allin1 analyze``: what it writes and prints, and how it fails."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict
from types import ModuleType

import numpy as np
import pytest
import soundfile

import allin1_core as allin1
from allin1_core.cli import analyze
from allin1_core.cli.main import run
from allin1_core.contracts.audio import Stems
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.metre import NO_TEMPO_PRIOR, TempoPrior
from allin1_core.io import atomic
from allin1_core.reference import metrical_dbn
from allin1_core.testing.models import model_plugin


def files(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_a_song_is_analysed_and_written(random_model, song, tmp_path, capsys):
    out = tmp_path / "out"
    status = run(["analyze", *random_model, "--stems-dir", str(song), "-o", str(out), "-a", "-e"])
    assert status == 0
    assert files(out) == ["song.activ.npz", "song.embed.npy", "song.json"]
    printed = capsys.readouterr()
    assert printed.out.startswith(str(out / "song.json"))
    assert printed.err == ""
    result = allin1.load_result(out / "song.json")
    assert result.activations["label"].shape == (10, 300)
    assert result.embeddings.shape == (4, 300, 24)
    assert result.provenance.input["files"][0]["format"] == "WAV PCM_24"


def test_the_mix_names_the_result_and_the_stems_give_it(random_model, song, tmp_path, capsys):
    out = tmp_path / "out"
    stems = [f"--stems-{name}={song / name}.wav" for name in ("bass", "drums", "other", "vocals")]
    command = [str(tmp_path / "mix.mp3"), *random_model, "-o", str(out), *stems]
    assert run(command) == 3  # misspelt
    (tmp_path / "mix.mp3").touch()
    assert run(command) == 0
    assert files(out) == ["mix.json"]


def test_the_model_that_auto_took_is_told_once_on_stderr(
    isolated_plugins, monkeypatch, song, tmp_path, capsys
):
    plugins = isolated_plugins()
    monkeypatch.setattr(analyze, "load_plugins", lambda ctx: plugins)
    monkeypatch.delenv("ALLIN1_WEIGHTS_DIR", raising=False)
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "cache"))
    command = ["analyze", *(["--stems-dir", str(song)] * 2), "-o", str(tmp_path), "--overwrite"]
    assert run([*command, "--name", "{name}-{model}", "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("allin1: model builtin. harmonix-all is not used") == 1
    assert "To use it: allin1 weights fetch harmonix-all" in printed.err
    records = [json.loads(line) for line in printed.out.splitlines()]
    assert len(records) == 2
    for record in records:
        assert "harmonix-all is not used" in record["provenance"]["model_reason"]
        assert record["written"].endswith("-builtin.json")
    assert run([*command, "--quiet"]) == 0
    assert run([*command, "-m", "builtin"]) == 0
    assert "model" not in capsys.readouterr().err


def test_programs_get_one_json_object_a_line(random_model, song, tmp_path, capsys):
    bad = tmp_path / "bad"
    bad.mkdir()
    folders = ["--stems-dir", str(song), "--stems-dir", str(bad), "--stems-dir", str(song)]
    status = run(["analyze", *random_model, *folders, "-o", str(tmp_path / "out"), "--json"])
    assert status == 3
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["path"] for line in lines] == [str(song), str(bad), str(song)]
    assert "beats" in lines[0]
    assert lines[0]["written"] == str(tmp_path / "out" / "song.json")
    assert "has no bass" in lines[1]["error"]


def test_quiet_prints_errors_alone(random_model, song, tmp_path, capsys):
    options = ["-o", str(tmp_path / "out"), "-q"]
    assert run(["analyze", *random_model, "--stems-dir", str(song), *options]) == 0
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""


def test_the_decoders_options_reach_it(random_model, song, tmp_path, capsys):
    options = ["--beats-per-bar", "5", "--min-bpm", "100", "--max-bpm", "150", "--threshold", "0"]
    options += ["--num-tempi", "0", "--transition-lambda", "50", "--observation-lambda", "8"]
    options += ["--no-correct", "-o", str(tmp_path)]
    assert run(["analyze", *random_model, "--stems-dir", str(song), *options]) == 0
    result = allin1.load_result(tmp_path / "song.json")
    assert set(result.beat_positions) <= {1, 2, 3, 4, 5}
    assert ((60 / np.diff(result.beats)) < 151).all()


@pytest.mark.parametrize(
    ("given", "prior"),
    [
        ([], None),
        (["--tempo-prior", "none"], NO_TEMPO_PRIOR),
        (["--tempo-prior", "100,0.5"], TempoPrior(100, 0.5)),
        (["--tempo-prior", "100,0.5,0.2"], TempoPrior(100, 0.5, 0.2)),
    ],
)
def test_the_prior_over_tempo_reaches_the_decoder(
    random_model,
    model_folder,
    monkeypatch,
    isolated_plugins,
    make_plugin,
    song,
    tmp_path,
    given,
    prior,
):
    seen = []
    module = ModuleType("decoder_for_a_test")

    def create(setup):
        seen.append(setup.metre.tempo_prior)
        return metrical_dbn.create(setup)

    module.create = create
    monkeypatch.setitem(sys.modules, module.__name__, module)
    name = {"name": "mine", "stage": "metrical_dbn", "features": ("tempo_prior",)}
    backend = Backend(**name, target=f"{module.__name__}:create")
    mine = make_plugin(allin1_metrical_dbn=lambda: [backend])
    plugins = isolated_plugins(model=model_plugin(model_folder[1]), mine=mine)
    monkeypatch.setattr(analyze, "load_plugins", lambda ctx: plugins)
    options = [*given, "-b", "metrical_dbn=mine", "-o", str(tmp_path / "out")]
    assert run(["analyze", *random_model, "--stems-dir", str(song), *options]) == 0
    assert seen == [prior]


def test_the_options_of_separation_reach_it(
    random_model, model_folder, monkeypatch, isolated_plugins, make_plugin, tmp_path
):
    seen = []
    module = ModuleType("separation_for_a_test")

    def create(setup):
        seen.append(setup.demix)
        return lambda mix, task: Stems(np.stack([mix.samples / 4] * 4))

    module.create = create
    monkeypatch.setitem(sys.modules, module.__name__, module)
    backend = Backend("quarters", "demix", f"{module.__name__}:create")
    plugins = isolated_plugins(
        model=model_plugin(model_folder[1]), mine=make_plugin(allin1_demix=lambda: [backend])
    )
    monkeypatch.setattr(analyze, "load_plugins", lambda ctx: plugins)
    soundfile.write(tmp_path / "mix.wav", np.random.default_rng(0).normal(0, 0.1, 44_100), 44_100)
    options = ["--demucs-model", "htdemucs_ft", "--demucs-weights", "random:3"]
    options += ["--demucs-shifts", "2", "--demucs-overlap", "0.1", "--demucs-segment", "5"]
    options += ["--demix-seed", "7", "--demix-precision", "tf32", "--demix-batch-size", "3"]
    assert run([str(tmp_path / "mix.wav"), *random_model, *options, "-o", str(tmp_path)]) == 0
    expected = DemixParameters("htdemucs_ft", "random:3", 2, 0.1, 7, 5.0, "tf32", 3)
    assert seen == [expected]
    told = allin1.load_result(tmp_path / "mix.json").provenance
    assert told.input["kind"] == "mix"
    assert told.input["separation"] == asdict(expected)
    assert told.stages[0].backend == "quarters"


@pytest.fixture
def broken(song, tmp_path):
    """Break the stems in a named way; give what the message must hold."""

    def breaking(how):
        drums = song / "drums.wav"
        if how == "empty folder":
            shutil.rmtree(song)
            song.mkdir()
            return "has no bass and no drums"
        if how == "unreadable":
            drums.write_bytes(b"this is no audio" * 100)
        elif how == "empty file":
            drums.write_bytes(b"")
        elif how == "no folder":
            shutil.rmtree(song)
            return "does not exist"
        elif how == "NaN":
            samples, rate = soundfile.read(drums, dtype="float32")
            samples[22_050] = np.nan
            soundfile.write(drums, samples, rate, subtype="FLOAT")
            return "0.500"
        elif how == "unequal":
            samples, rate = soundfile.read(drums, dtype="float32")
            soundfile.write(drums, samples[:-44_100], rate)
            return "drums 2.000 s"
        elif how == "twice":
            shutil.copy(drums, song / "drums.flac")
            return "more than one file for drums"
        return "drums.wav"

    return breaking


@pytest.mark.parametrize(
    "how",
    ["empty folder", "unreadable", "empty file", "no folder", "NaN", "unequal", "twice"],
)
def test_bad_stems_are_one_line_and_nothing_is_written(
    random_model, song, tmp_path, capsys, broken, how
):
    expected = broken(how)
    out = tmp_path / "out"
    status = run(["analyze", *random_model, "--stems-dir", str(song), "-o", str(out)])
    printed = capsys.readouterr()
    assert status == 3
    (line,) = printed.err.splitlines()
    assert line.startswith("allin1: error: ")
    assert expected in line
    assert str(song) in line
    assert printed.out == ""
    assert files(out) == []


@pytest.mark.parametrize("how", ["truncated", "wrong", "no archive", "missing"])
def test_bad_weights_are_told_and_nothing_is_written(
    random_model, model_folder, song, tmp_path, capsys, monkeypatch, how
):
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "cache"))
    folder, card = model_folder
    copy = tmp_path / "weights"
    copy.mkdir()
    name = card.files[0].name
    content = (folder / name).read_bytes()
    if how != "missing":
        changed = {
            "truncated": content[:-100],
            "wrong": content[:-1] + bytes([content[-1] ^ 1]),
            "no archive": b"<html>login</html>",
        }
        (copy / name).write_bytes(changed[how])
    out = tmp_path / "out"
    options = ["-m", "random", "--weights-dir", str(copy), "--stems-dir", str(song)]
    assert run(["analyze", *options, "-o", str(out)]) == 4
    err = capsys.readouterr().err
    assert err.count("allin1: error: ") == 1
    assert name in err
    assert "Traceback" not in err
    assert files(out) == []


def test_a_full_disk_is_told_and_leaves_nothing_half_written(
    random_model, song, tmp_path, capsys, monkeypatch
):
    def full(self, *arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.Path, "write_text", full)
    out = tmp_path / "out"
    options = ["--stems-dir", str(song), "-o", str(out)]
    assert run(["analyze", *random_model, *options]) == 6
    assert "No space left on device" in capsys.readouterr().err
    assert files(out) == []


def test_an_output_folder_that_is_a_file_is_told_before_the_work_begins(
    random_model, song, tmp_path, capsys
):
    out = tmp_path / "out"
    out.write_text("mine")
    assert run(["analyze", *random_model, "--stems-dir", str(song), "-o", str(out)]) == 6
    assert str(out) in capsys.readouterr().err
    assert out.read_text() == "mine"


def test_the_users_files_stay_as_they_were(random_model, song, tmp_path):
    before = {path.name: path.read_bytes() for path in song.iterdir()}
    run(["analyze", *random_model, "--stems-dir", str(song), "-o", str(song)])
    after = {path.name: path.read_bytes() for path in song.iterdir()}
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"song.json"}


def test_kinds_of_failure_that_differ_are_status_1(random_model, song, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "song.json").write_text('{"path": "another song"}')
    (tmp_path / "bad").mkdir()
    folders = ["--stems-dir", str(song), "--stems-dir", str(tmp_path / "bad")]
    assert run(["analyze", *random_model, *folders, "-o", str(out)]) == 1
    err = capsys.readouterr().err
    assert err.count("allin1: error: ") == 2
    assert "another song" in err


def test_a_picture_of_the_timings_is_drawn_though_a_track_fails(
    random_model, song, tmp_path, capsys
):
    pytest.importorskip("matplotlib", reason="matplotlib, which draws, is not installed")
    picture = tmp_path / "times.svg"
    folders = ["--stems-dir", str(song), "--stems-dir", str(tmp_path / "nowhere")]
    options = ["-o", str(tmp_path / "out"), "--timings-viz-path", str(picture)]
    assert run(["analyze", *random_model, *folders, *options]) == 3
    assert "<!-- song -->" in picture.read_text(encoding="utf-8")


def test_a_picture_of_unknown_kind_is_status_6_before_any_work(
    random_model, song, tmp_path, capsys
):
    options = ["-o", str(tmp_path / "out"), "--timings-viz-path", str(tmp_path / "times.xyz")]
    assert run(["analyze", *random_model, "--stems-dir", str(song), *options]) == 6
    assert "times.xyz: A picture of timings cannot be written as .xyz" in capsys.readouterr().err
    assert files(tmp_path / "out") == []


def test_a_named_backend_that_always_fails_is_told_of_in_full_once(
    random_model, song, tmp_path, capsys, monkeypatch
):
    def broken(setup):
        raise OSError("libkernel.so: no such file")

    monkeypatch.setattr("allin1_core.reference.network.create", broken)
    copies = [tmp_path / name for name in ("b", "c")]
    for copy in copies:
        shutil.copytree(song, copy)
    folders = [f"--stems-dir={folder}" for folder in (song, *copies, tmp_path / "nowhere")]
    options = ["-b", "nn=reference", "-o", str(tmp_path / "out")]
    assert run(["analyze", *random_model, *folders, *options]) == 1
    first, second, third, other, summary = capsys.readouterr().err.splitlines()
    assert summary == "allin1: 4 failed"
    assert first.startswith(f"allin1: error: {song}: The requested backend, nn=reference, failed:")
    assert "libkernel.so" in first
    assert second == f"allin1: error: {copies[0]}: failed as {song} did"
    assert third == f"allin1: error: {copies[1]}: failed as {song} did"
    assert "does not exist" in other
    # Programs get each in full.
    assert run(["analyze", *random_model, *folders, *options, "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all("libkernel.so" in line["error"] for line in lines[:3])
