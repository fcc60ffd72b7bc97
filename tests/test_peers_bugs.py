"""Sixteen faults of the original and its forks, each with a test that it is not one here, by number.

Where a test elsewhere holds the fault off already, :data:`ELSEWHERE` names it.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from allin1_core import MetreParameters, Segment, api
from allin1_core.cli.main import cli, run
from allin1_core.errors import BatchError, OutputError
from allin1_core.io.fingerprint import fingerprint
from allin1_core.io.results import load_result
from allin1_core.runtime.track import make_tracks

ROOT = Path(__file__).resolve().parents[1]

#: By number of the fault: files and tests.
ELSEWHERE = {
    5: [("tests/test_api.py", "test_figures_and_sounds_come_in_the_order_of_the_results"),
        ("tests/presentation/test_picture.py", "test_no_figure_stays_open")],
    6: [("tests/runtime/test_executors.py", "test_workers_end_with_their_parent_which_needs_no_guard")],
    7: [("tests/presentation/test_picture.py", "test_no_label_of_the_clock_reads_sixty"),
        ("tests/presentation/test_picture.py", "test_odd_results_are_drawn")],
    9: [("tests/io/test_audio.py", "test_any_rate_and_format_gives_the_same_signal_at_44100_hz")],
    11: [("tests/reference/test_functional.py", "test_boundaries_follow_the_definition"),
         ("tests/reference/test_metrical_prep.py", "test_it_follows_the_formula_in_double_precision"),
         ("plugins/allin1-dbn-cython/tests/test_wheel.py",
          "test_it_contains_the_compiled_module_and_its_type_stub")],
    12: [("tests/cli/test_analyze.py", "test_the_options_of_separation_reach_it"),
         ("tests/cli/test_analyze.py", "test_the_decoders_options_reach_it")],
    14: [("tests/io/test_cache.py", "test_clearing_removes_entries_and_no_other_file")],
    15: [("tests/weights/test_download.py",
          "test_an_interruption_passes_through_and_leaves_nothing_under_the_final_name")],
    16: [("tests/test_api.py", "test_a_song_that_fails_affects_nothing_else"),
         ("tests/runtime/test_executors.py", "test_a_worker_that_dies_costs_its_track_and_is_replaced")],
}  # fmt: skip


@pytest.mark.parametrize("number", ELSEWHERE)
def test_the_tests_elsewhere_are_there(number):
    for file, name in ELSEWHERE[number]:
        if not (ROOT / file).exists() and file.startswith("plugins/"):
            pytest.skip("the plugins' tests are not here")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_each_of_the_sixteen_has_a_test():
    here = {int(n) for name in globals() if (n := "".join(re.findall(r"^test_bug_(\d+)", name)))}
    assert sorted({*here, *ELSEWHERE}) == list(range(1, 17))


@pytest.fixture
def analyze(isolated_plugins):
    plugins = isolated_plugins()
    return lambda *args, **options: api.analyze(
        *args, **{"model": "builtin", "plugins": plugins, **options}
    )


def write_song(path: Path, seed: int = 0, beat_s: float = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    samples = rng.normal(0, 0.003, 3 * 44100)
    for start in range(0, len(samples) - 2000, round(beat_s * 44100)):
        samples[start : start + 2000] += rng.normal(0, 0.3, 2000) * np.linspace(1, 0, 2000)
    soundfile.write(path, samples, 44100)
    return path


def test_bug_01_songs_of_one_name_keep_their_results_apart(analyze, tmp_path):
    songs = [write_song(tmp_path / "a" / "x.wav", 1), write_song(tmp_path / "b" / "x.flac", 2, 0.4)]
    results = analyze(songs, tmp_path / "out")
    written = {load_result(p).path: load_result(p).beats for p in (tmp_path / "out").iterdir()}
    assert written == {song: r.beats for song, r in zip(songs, results, strict=True)}


def test_bug_02_order_and_duplicates_stay_and_a_pattern_gives_all(analyze, tmp_path, capsys):
    songs = [write_song(tmp_path / f"{name}.wav", n) for n, name in enumerate("cab")]
    given = [songs[0], songs[2], songs[0], songs[1]]
    assert [r.path for r in analyze(given)] == given
    assert run([str(tmp_path / "*.wav"), "-m", "builtin", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["path"] for line in lines] == sorted(map(str, songs))


def test_bug_03_a_result_that_exists_is_taken_for_done_only_where_it_is(analyze, tmp_path):
    song, out = write_song(tmp_path / "song.wav"), tmp_path / "out"
    analyze(song, out, only="beats")
    assert analyze(song, out).segments
    assert analyze(song, out, include_activations=True).activations is not None
    assert (out / "song.activ.npz").exists()
    with pytest.raises(OutputError, match="--overwrite"):
        analyze(song, out, metre=MetreParameters(min_bpm=70))
    write_song(song, seed=7, beat_s=0.4)
    assert analyze(song, out).provenance.identity.audio == fingerprint(song).content
    text = (out / "song.json").read_text()
    (out / "song.json").write_text(text[: len(text) // 2])
    with pytest.raises(OutputError):
        analyze(song, out)
    assert analyze(song, out, overwrite=True).beats


def test_bug_04_a_result_that_was_moved_is_matched_to_its_input(analyze, tmp_path):
    song = write_song(tmp_path / "here" / "song.wav")
    analyze(song, tmp_path / "here" / "out")
    shutil.move(tmp_path / "here", tmp_path / "there")
    moved = load_result(tmp_path / "there" / "out" / "song.json")
    assert moved.provenance.identity.audio == fingerprint(tmp_path / "there" / "song.wav").content


def test_bug_07_a_label_that_is_not_known_is_drawn(analyze, tmp_path):
    pytest.importorskip("matplotlib")
    from dataclasses import replace

    result = analyze(write_song(tmp_path / "song.wav"))
    odd = replace(result, segments=[Segment(0.0, 3.0, "theremin solo")])
    assert api.visualize(odd, tmp_path) is not None
    assert (tmp_path / "song.pdf").stat().st_size > 1000


def test_bug_08_what_the_user_gave_stays_and_kept_stems_are_where_they_were_requested(tmp_path):
    stems = tmp_path / "song"
    for seed, stem in enumerate(("bass", "drums", "other", "vocals")):
        write_song(stems / f"{stem}.wav", seed)
    before = {path.name: path.read_bytes() for path in stems.iterdir()}
    song = write_song(tmp_path / "song.wav")
    line = [str(song), "-m", "builtin", "-k", "--stems-dir", str(stems)]
    line += ["--demix-dir", str(tmp_path / "demix"), "-o", str(tmp_path / "out")]
    assert run(line) == 0
    assert {path.name: path.read_bytes() for path in stems.iterdir()} == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["song.json"]


def test_bug_09_a_song_at_48_khz_gives_what_it_gives_at_44_1(analyze, tmp_path):
    import soxr

    song = write_song(tmp_path / "song.wav", 3)
    samples, _ = soundfile.read(song)
    soundfile.write(tmp_path / "48.wav", soxr.resample(samples, 44100, 48000), 48000)
    one, other = analyze([song, tmp_path / "48.wav"])
    assert len(one.beats) > 2
    np.testing.assert_allclose(one.beats, other.beats, atol=0.021)


def test_bug_10_a_song_that_fails_leaves_its_place_and_no_result_moves(analyze, tmp_path):
    songs = [write_song(tmp_path / f"{n}.wav", n) for n in range(3)]
    songs[1].write_bytes(b"no audio")
    with pytest.raises(BatchError) as caught:
        analyze(songs, tmp_path / "out")
    assert [r and r.path for r in caught.value.results] == [songs[0], None, songs[2]]
    assert set(caught.value.errors) == {str(songs[1])}


def test_bug_12_every_option_of_the_command_is_read_somewhere():
    command = cli.get_command(None, "analyze")
    folder = ROOT / "allin1_core" / "cli"
    if not folder.exists():
        pytest.skip("the sources are not here")
    text = "".join((folder / f"{name}.py").read_text("utf-8") for name in ("analyze", "family"))
    declared = re.sub(r"@click\.option\((?:[^()]|\([^()]*\))*\)", "", text)
    for parameter in command.params:
        # Those of the metre decoder are taken together, under the names that it has.
        is_of_metre = parameter.name in MetreParameters.__dataclass_fields__
        is_of_stems = (parameter.name or "").startswith("stems_")
        is_read = re.search(rf"\b{parameter.name}\b", declared)
        assert is_of_metre or is_of_stems or not parameter.expose_value or is_read, parameter.name


def test_bug_13_a_song_never_takes_the_stems_of_another_by_prefix(tmp_path):
    for stem in ("bass", "drums", "other", "vocals"):
        write_song(tmp_path / "stems" / "song2" / f"{stem}.wav")
    songs = [write_song(tmp_path / "song.wav"), write_song(tmp_path / "song2.wav")]
    line = ["analyze", *map(str, songs), "--stems-dir", str(tmp_path / "stems"), "-m", "builtin"]
    out = tmp_path / "out"
    assert run([*line, "-o", str(out), "-q"]) == 3
    assert [p.name for p in out.iterdir()] == ["song2.json"]
    tracks = make_tracks(songs, [tmp_path / "stems"])
    assert [t.stems_dir.name for t in tracks] == ["song", "song2"]
