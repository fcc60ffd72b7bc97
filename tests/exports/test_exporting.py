from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from allin1_core import hookimpl
from allin1_core.cli.main import cli
from allin1_core.contracts.backend import Needs
from allin1_core.contracts.export import Exporter
from allin1_core.contracts.rules import find_fault
from allin1_core.errors import OutputError, PluginError, ResultError, SelectionError
from allin1_core.io.results import save_result
from allin1_core.plugins.collecting import Offers, collect_offers
from allin1_core.plugins.loading import load_plugins
from allin1_core.runtime.exporting import export_songs, find_exporter, song_of
from allin1_core.runtime.extras import Extras

from .conftest import EXPORTERS, a_song


def write_path(songs: list[object], file: object) -> None:
    file.write(songs[0].source.name.encode())  # type: ignore[attr-defined]


def write_half_and_fail(songs: list[object], file: object) -> None:
    file.write(b"half")  # type: ignore[attr-defined]
    raise ValueError("no idea")


class _Plugin:
    @hookimpl
    def allin1_exporters(self) -> Iterator[Exporter]:
        here = __name__
        yield Exporter("third", ".third", "From elsewhere", f"{here}:write_path")
        yield Exporter("bad", ".bad", "Fails", f"{here}:write_half_and_fail")
        yield Exporter("poor", ".x", "Lacks", f"{here}:write_path", Needs(("no-such-package>=2",)))


@pytest.fixture
def offers() -> Offers:
    return collect_offers(load_plugins(extra={"elsewhere": _Plugin()}, autoload=False))


def test_the_formats_of_a_plugin_stand_beside_the_cores(offers: Offers, tmp_path: Path) -> None:
    assert set(offers.exporters) == {*EXPORTERS, "third", "bad", "poor"}
    (path,) = export_songs(find_exporter(offers, "third"), [a_song(name="s")], tmp_path)
    assert path == tmp_path / "s.third"
    assert path.read_text("utf-8") == "Café #1.mp3"


def test_an_exporter_that_fails_is_named_and_leaves_nothing(offers: Offers, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="exporter bad of plugin elsewhere failed.*no idea"):
        export_songs(find_exporter(offers, "bad"), [a_song()], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_format_that_cannot_be_written_says_why(offers: Offers) -> None:
    with pytest.raises(SelectionError, match="no-such-package is not installed"):
        find_exporter(offers, "poor")
    with pytest.raises(SelectionError, match="Did you mean rekordbox"):
        find_exporter(offers, "recordbox")


def test_an_export_is_not_overwritten_unasked(offers: Offers, tmp_path: Path) -> None:
    lab = find_exporter(offers, "lab")
    (path,) = export_songs(lab, [a_song()], tmp_path)
    path.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        export_songs(lab, [a_song()], tmp_path)
    assert path.read_text() == "mine"
    export_songs(lab, [a_song()], tmp_path, overwrite=True)
    assert path.read_text("utf-8").startswith("0.0\t")


def test_length_and_rate_come_from_the_audio_where_it_is_there(tmp_path: Path) -> None:
    audio = tmp_path / "a.wav"
    soundfile.write(audio, np.zeros(80 * 22_050), 22_050)
    song = song_of(a_song().result, "a", source=audio)
    assert (song.duration_s, song.sample_rate) == (80.0, 22_050)
    missing = song_of(a_song().result, "a", source=tmp_path / "b.wav")
    assert missing.duration_s == a_song().result.segments[-1].end


def test_an_offset_moves_every_time_and_none_before_the_start(tmp_path: Path) -> None:
    result = a_song().result
    moved = song_of(result, "a", offset_s=-0.75).result
    assert moved.beats[0] == pytest.approx(max(0.0, result.beats[0] - 0.75))
    assert moved.downbeats[0] == pytest.approx(result.downbeats[0] - 0.75)
    assert moved.segments[0].start == 0.0
    assert moved.segments[1].end == pytest.approx(result.segments[1].end - 0.75)


@pytest.fixture
def results(tmp_path: Path) -> SimpleNamespace:
    folder = tmp_path / "struct"
    paths = [save_result(a_song(i).result, folder, f"song{i}") for i in range(2)]
    return SimpleNamespace(folder=folder, paths=paths, out=tmp_path / "out")


def test_the_command_exports_a_folder_of_results(results: SimpleNamespace) -> None:
    arguments = ["export", str(results.folder), "--to", "lab", "--to", "rekordbox"]
    done = CliRunner().invoke(cli, [*arguments, "-o", str(results.out)])
    assert done.exit_code == 0, done.output
    names = sorted(path.name for path in results.out.iterdir())
    assert names == ["allin1.rekordbox.xml", "song0.lab", "song1.lab"]
    assert done.output.split() == [
        str(results.out / name) for name in ("song0.lab", "song1.lab", "allin1.rekordbox.xml")
    ]


def test_the_command_writes_beside_the_results_by_default(results: SimpleNamespace) -> None:
    done = CliRunner().invoke(cli, ["export", str(results.paths[0]), "--to", "beats"])
    assert done.exit_code == 0, done.output
    assert (results.folder / "song0.beats").is_file()


def test_the_command_lists_the_formats() -> None:
    done = CliRunner().invoke(cli, ["export", "--list"])
    assert done.exit_code == 0
    assert {line.split()[0] for line in done.output.splitlines()} >= set(EXPORTERS)


def test_the_command_needs_a_result_and_a_format(results: SimpleNamespace) -> None:
    assert CliRunner().invoke(cli, ["export", str(results.folder)]).exit_code == 2
    assert CliRunner().invoke(cli, ["export", "--to", "lab"]).exit_code == 2
    bad = ["export", str(results.folder), "--to", "rekordbox", "--collection", "../x"]
    assert CliRunner().invoke(cli, bad).exit_code == 2


def errors_of(output: str) -> list[str]:
    """The lines of errors; before click 8.2, its runner does not keep stderr apart."""
    return [line for line in output.splitlines() if line.startswith("allin1: error: ")]


def test_results_that_cannot_be_exported_are_told_and_the_others_are_exported(
    results: SimpleNamespace,
) -> None:
    (results.folder / "a.json").write_text(json.dumps({"a": 1}))
    (results.folder / "z.json").write_text("{")
    formats = ["--to", "lab", "--to", "rekordbox"]
    arguments = ["export", str(results.folder), *formats, "-o", str(results.out)]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == ResultError.exit_code
    errors = errors_of(done.output)
    assert [line.split(": ")[2] for line in errors] == [
        str(results.folder / name) for name in ("a.json", "z.json")
    ]
    names = sorted(path.name for path in results.out.iterdir())
    assert names == ["allin1.rekordbox.xml", "song0.lab", "song1.lab"]
    with_traceback = CliRunner().invoke(cli, ["--traceback", *arguments])
    assert isinstance(with_traceback.exception, OutputError)


def test_where_no_result_can_be_exported_nothing_is_written(results: SimpleNamespace) -> None:
    for path in results.paths:
        path.write_text("{}")
    arguments = ["export", str(results.folder), "--to", "rekordbox", "-o", str(results.out)]
    done = CliRunner().invoke(cli, arguments)
    assert (done.exit_code, len(errors_of(done.output))) == (ResultError.exit_code, 2)
    assert not results.out.exists()


def test_an_exporter_that_fails_for_a_song_writes_the_others(
    results: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from allin1_core.exports import text

    write = text.write_lab

    def picky(songs: Any, file: Any) -> None:
        if songs[0].name == "song0":
            raise OutputError("cannot be expressed.")
        write(songs, file)

    monkeypatch.setattr(text, "write_lab", picky)
    arguments = ["export", str(results.folder), "--to", "lab", "-o", str(results.out)]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == OutputError.exit_code
    assert "cannot be expressed" in done.output
    assert [path.name for path in results.out.iterdir()] == ["song1.lab"]


def test_the_cores_formats_have_files_of_different_names() -> None:
    suffixes = [exporter.suffix for exporter in EXPORTERS.values()]
    assert len({*suffixes}) == len(suffixes)


def test_two_results_of_one_name_are_refused_before_anything_is_written(
    results: SimpleNamespace, tmp_path: Path
) -> None:
    other = save_result(a_song(5).result, tmp_path / "other", "song1")
    for options in ([], ["--overwrite"]):
        line = ["export", str(results.folder), str(other), "--to", "csv", "-o", str(results.out)]
        done = CliRunner().invoke(cli, [*line, *options])
        assert isinstance(done.exception, OutputError)
        assert "song1.csv: would be written twice" in str(done.exception)
        assert not results.out.exists()
    beside = ["export", str(results.folder), str(other), "--to", "csv"]
    assert CliRunner().invoke(cli, beside).exit_code == 0
    assert (other.parent / "song1.csv").is_file()


def test_a_file_that_exists_is_refused_before_another_is_written(results: SimpleNamespace) -> None:
    results.out.mkdir()
    (results.out / "song1.lab").write_text("mine")
    line = ["export", str(results.folder), "--to", "csv", "--to", "lab", "-o", str(results.out)]
    assert isinstance(CliRunner().invoke(cli, line).exception, OutputError)
    assert [path.name for path in results.out.iterdir()] == ["song1.lab"]


def test_an_export_never_replaces_what_it_reads(results: SimpleNamespace, tmp_path: Path) -> None:
    # A result may be called as the export would be.
    odd = results.paths[0].rename(tmp_path / "odd.cue")
    before = odd.read_bytes()
    done = CliRunner().invoke(cli, ["export", str(odd), "--to", "cue", "--overwrite"])
    assert isinstance(done.exception, OutputError)
    assert "is an input" in str(done.exception)
    assert odd.read_bytes() == before


def test_an_export_never_replaces_the_song(offers: Offers, tmp_path: Path) -> None:
    audio = tmp_path / "s.third"
    audio.write_text("the song")
    song = a_song(name="s", source=audio)
    with pytest.raises(OutputError, match="is an input"):
        export_songs(find_exporter(offers, "third"), [song], tmp_path, overwrite=True)
    assert audio.read_text() == "the song"


@pytest.mark.parametrize("suffix", [".json", ".JSON", ".mine.json", ".activ.npz", ".embed.npy"])
def test_a_format_whose_files_would_replace_results_is_refused(suffix: str) -> None:
    class Destroyer:
        @hookimpl
        def allin1_exporters(self) -> Iterator[Exporter]:
            yield Exporter("destroyer", suffix, "Bad", f"{__name__}:write_path")

    offers = collect_offers(load_plugins(extra={"elsewhere": Destroyer()}, autoload=False))
    assert "destroyer" not in offers.exporters
    fault = find_fault(Exporter("destroyer", suffix, "Bad", "a:b"), Exporter)
    assert fault is not None
    assert "files of results" in fault


def test_formats_with_files_of_one_name_are_refused_in_one_analysis(
    offers: Offers, tmp_path: Path
) -> None:
    third = find_exporter(offers, "third")
    twin = replace(third, item=replace(third.item, name="twin", suffix=".THIRD"))
    with pytest.raises(OutputError, match="third and twin"):
        Extras(exporters=(third, twin), export_dir=tmp_path).check()


@pytest.mark.parametrize("command", ["visualize", "sonify"])
def test_pictures_and_sounds_of_one_name_are_refused(
    command: str, results: SimpleNamespace, tmp_path: Path
) -> None:
    other = save_result(a_song(5).result, tmp_path / "other", "song1")
    line = [command, str(results.folder), str(other), "-o", str(results.out), "--overwrite"]
    done = CliRunner().invoke(cli, line)
    assert isinstance(done.exception, OutputError)
    assert "would be written twice" in str(done.exception)
    assert not results.out.exists()
