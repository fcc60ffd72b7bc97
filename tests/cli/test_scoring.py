"""``allin1 evaluate`` and ``allin1 compare``: which files belong together, and what is printed and written."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from allin1_core.cli.main import run
from allin1_core.contracts.result import AnalysisResult, Provenance
from allin1_core.contracts.sections import Segment
from allin1_core.io.results import save_result

pytest.importorskip("mir_eval", reason="scoring needs the extra [evaluate]")

BEATS = [0.5 + 0.5 * i for i in range(64)]
RESULT = AnalysisResult(
    Path("song.wav"),
    120,
    BEATS,
    BEATS[::4],
    [i % 4 + 1 for i in range(64)],
    [Segment(0.0, 16.0, "verse"), Segment(16.0, 32.5, "chorus")],
)
BEATS_TEXT = "".join(f"{t}\t{i % 4 + 1}\n" for i, t in enumerate(BEATS))
SECTIONS_TEXT = "0.0 verse\n16.0 chorus\n32.5 end\n"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    for name in ("one", "two"):
        save_result(replace(RESULT, path=Path(f"{name}.wav")), folder, name)
    return folder


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    folder = tmp_path / "annotations"
    folder.mkdir()
    (folder / "one.beats").write_text(BEATS_TEXT)
    (folder / "one.segments.txt").write_text(SECTIONS_TEXT)
    (folder / "two.beats.txt").write_text("".join(f"{t + 0.25}\n" for t in BEATS))
    (folder / "three.lab").write_text("0 10 verse\n")
    return folder


def printed(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


def test_references_are_matched_by_name_and_put_together(capsys, results, annotations):
    assert run(["evaluate", str(results), "--reference", str(annotations), "--json"]) == 0
    content = printed(capsys)
    one, two = content["songs"]
    assert (one["song"], two["song"]) == ("one", "two")
    assert one["scores"] == pytest.approx(dict.fromkeys(one["scores"], 1.0))
    assert {"downbeat_f", "label_accuracy", "pairwise_f"} <= set(one["scores"])
    assert two["scores"]["beat_f"] == 0
    assert set(two["scores"]) == {"beat_f", "beat_cmlt", "beat_amlt"}
    assert content["mean"]["beat_f"] == pytest.approx(0.5)
    assert content["mean"]["boundary_hr_3"] == pytest.approx(1.0)
    assert content["annotated"] == {"beats": 2, "downbeats": 1, "segments": 1}
    assert (content["no_reference"], content["no_result"]) == ([], ["three"])


def test_folders_of_beats_and_of_sections_are_combined(capsys, results, annotations, tmp_path):
    other = tmp_path / "sections"
    other.mkdir()
    (other / "two.txt").write_text(SECTIONS_TEXT)
    references = ["--reference", str(annotations), "--reference", str(other)]
    assert run(["evaluate", str(results), *references, "--json"]) == 0
    assert printed(capsys)["annotated"]["segments"] == 2


def test_the_table_has_songs_means_and_counts(capsys, results, annotations):
    assert run(["evaluate", str(results), "--reference", str(annotations)]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["song", "one", "two", "mean"]
    assert lines[-1] == "annotated: beats of 2, downbeats of 1, segments of 1"
    assert "annotations without result: three" in err


def test_a_single_result_takes_annotations_of_any_name(capsys, results, annotations):
    arguments = ["--reference", str(annotations / "three.lab"), "--json"]
    assert run(["evaluate", str(results / "one.json"), *arguments]) == 0
    assert printed(capsys)["songs"][0]["scores"]["label_accuracy"] == 1


def test_what_was_not_looked_for_is_not_scored(capsys, tmp_path, annotations):
    provenance = Provenance("0", "beats-only", {}, (), outputs=("beats",))
    save_result(replace(RESULT, segments=[], provenance=provenance), tmp_path, "one")
    result = str(tmp_path / "one.json")
    assert run(["evaluate", result, "--reference", str(annotations), "--json"]) == 0
    assert set(printed(capsys)["mean"]) == {"beat_f", "beat_cmlt", "beat_amlt", "downbeat_f"}


def test_names_that_do_not_match_are_an_error(capsys, results, tmp_path):
    for name in ("x", "y"):
        (tmp_path / f"{name}.lab").write_text("0 10 verse\n")
    assert run(["evaluate", str(results), "--reference", str(tmp_path)]) == 3
    assert "the annotations are of x, y" in capsys.readouterr().err


BAD_REFERENCES = {
    "garbage.beats": b"\xff\xfe\x00garbage",
    "words.lab": b"0.0 10.0 verse\nten eleven twelve\n",
    "deep.jams": b"[" * 100_000,
    "infinite.jams": b'{"annotations": [{"namespace": "beat", "data": [{"time": NaN}]}]}',
    "late.beats": b"1\n99999\n",
    "wide.csv": b'a,"' + 200_000 * b"x" + b'"\n',
    "empty.txt": b"",
}


@pytest.fixture
def mixed(tmp_path: Path) -> tuple[Path, Path]:
    """Results and annotations of one good song, and of bad ones."""
    songs, references = tmp_path / "struct", tmp_path / "truth"
    references.mkdir()
    for file, content in BAD_REFERENCES.items():
        save_result(RESULT, songs, file.partition(".")[0])
        (references / file).write_bytes(content)
    for name in ("good", "truncated"):
        save_result(RESULT, songs, name, overwrite=True)
        (references / f"{name}.beats").write_text(BEATS_TEXT)
    cut = songs / "truncated.json"
    cut.write_bytes(cut.read_bytes()[:100])
    (references / "missing.beats").write_text(BEATS_TEXT)
    return songs, references


def test_files_that_cannot_be_read_leave_out_their_songs(capsys, mixed, tmp_path):
    songs, references = mixed
    missing, table = songs / "missing.json", tmp_path / "scores.csv"
    arguments = ["evaluate", str(songs), str(missing), "--reference", str(references)]
    bad = sorted(["truncated", "missing", *(file.partition(".")[0] for file in BAD_REFERENCES)])
    assert run([*arguments, "--json", "--csv", str(table)]) == 3
    out, err = capsys.readouterr()
    content = json.loads(out)
    assert [song["song"] for song in content["songs"]] == ["good"]
    assert content["mean"]["beat_f"] == pytest.approx(1)
    assert sorted(song["song"] for song in content["left_out"]) == bad
    assert len(err.splitlines()) == len(bad)
    for song in content["left_out"]:
        (reason,) = song["reasons"]
        assert song["song"] in reason
        assert f"allin1: error: {reason}" in err
    with table.open(newline="") as text:
        rows = {row["song"]: row for row in csv.DictReader(text)}
    assert rows.pop("good")["error"] == ""
    assert sorted(rows) == bad
    assert all(row["error"] and row["beat_f"] == "" for row in rows.values())
    assert run(arguments) == 3
    assert f"left out: {len(bad)} of {len(bad) + 1} songs" in capsys.readouterr().out


def test_every_bad_file_of_a_song_is_reported(capsys, results, annotations):
    (annotations / "one.segments.txt").write_text("verse\n")
    (results / "one.json").write_text("{")
    assert run(["evaluate", str(results), "--reference", str(annotations), "--json"]) == 3
    (one,) = printed(capsys)["left_out"]
    assert one["song"] == "one"
    assert [Path(reason.partition(": ")[0]).name for reason in one["reasons"]] == [
        "one.json",
        "one.segments.txt",
    ]


def test_without_any_score_no_file_is_replaced(capsys, results, tmp_path):
    table, picture = tmp_path / "scores.csv", tmp_path / "scores.svg"
    before = "song\none\n", "<svg>allin1: picture of scores</svg>"
    for file, content in zip((table, picture), before, strict=True):
        file.write_text(content)
    (tmp_path / "one.beats").write_text("x")
    files = ["--csv", str(table), "--picture", str(picture), "--overwrite"]
    arguments = ["evaluate", str(results / "one.json"), "--reference", str(tmp_path / "one.beats")]
    assert run([*arguments, *files]) == 3
    assert "left out: 1 of 1 songs" in capsys.readouterr().out
    assert (table.read_text(), picture.read_text()) == before


def test_annotations_that_do_not_exist_do_not_end_the_command(capsys, results, annotations):
    references = ["--reference", str(annotations / "absent"), "--reference", str(annotations)]
    assert run(["evaluate", str(results), *references, "--json"]) == 3
    out, err = capsys.readouterr()
    assert "absent: does not exist." in err
    content = json.loads(out)
    assert (len(content["songs"]), content["left_out"]) == (2, [])


def test_with_traceback_the_first_bad_file_ends_the_command(capsys, mixed):
    songs, references = mixed
    arguments = ["evaluate", str(songs), "--reference", str(references)]
    assert run(["--traceback", *arguments]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" in err


def test_results_that_cannot_be_read_are_left_out_of_a_comparison(capsys, results, tmp_path):
    other = tmp_path / "other"
    for name in ("one", "two"):
        save_result(replace(RESULT, path=Path(f"{name}.wav")), other, name)
    (other / "two.json").write_text('{"path": ')
    assert run(["compare", str(results), str(other), "--json"]) == 3
    content = printed(capsys)
    assert [song["song"] for song in content["songs"]] == ["one"]
    assert [song["song"] for song in content["left_out"]] == ["two"]
    assert run(["compare", str(results), str(other)]) == 3
    out, err = capsys.readouterr()
    assert "left out: 1 of 2 songs" in out
    assert f"{other / 'two.json'}" in err
    for side in (results, other):
        (side / "one.json").write_text("")
    assert run(["compare", str(results), str(other)]) == 3
    assert "left out: 2 of 2 songs" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nowhere", ""])
def test_what_does_not_exist_is_not_compared(capsys, results, name):
    assert run(["compare", name, str(results)]) == (3 if name else 2)


def test_a_damaged_reference_is_named(capsys, results, tmp_path):
    (tmp_path / "one.lab").write_text("0.0 10.0 verse\nten eleven twelve\n")
    assert run(["evaluate", str(results), "--reference", str(tmp_path)]) == 3
    err = capsys.readouterr().err
    assert "one.lab" in err
    assert "line 2" in err


def test_scores_are_written_as_csv_and_never_replaced_unasked(
    capsys, results, annotations, tmp_path
):
    file = tmp_path / "scores.csv"
    arguments = ["evaluate", str(results), "--reference", str(annotations), "--csv", str(file)]
    assert run(arguments) == 0
    with file.open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [row["song"] for row in rows] == ["one", "two"]
    assert float(rows[0]["beat_f"]) == 1
    assert rows[1]["label_accuracy"] == ""
    assert run(arguments) == 6
    assert "--overwrite" in capsys.readouterr().err
    assert run([*arguments, "--overwrite"]) == 0


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_scores_are_drawn(results, annotations, tmp_path, suffix):
    pytest.importorskip("matplotlib")
    file = tmp_path / f"scores.{suffix}"
    arguments = ["--reference", str(annotations), "--picture", str(file)]
    assert run(["evaluate", str(results), *arguments]) == 0
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert file.read_bytes().startswith(starts[suffix])


def test_a_result_agrees_with_itself(capsys, results):
    assert run(["compare", str(results), str(results)]) == 0
    out = capsys.readouterr().out
    assert "no measure differs" in out
    assert "0." not in out.replace("1.000", "")


def test_results_of_two_models_are_compared_and_the_furthest_named(capsys, results, tmp_path):
    other = tmp_path / "other"
    late = replace(RESULT, beats=[t + 0.2 for t in BEATS], path=Path("two.wav"))
    late = replace(late, downbeats=[t + 0.2 for t in RESULT.downbeats])
    save_result(replace(RESULT, path=Path("one.wav")), other, "one")
    save_result(late, other, "two")
    save_result(late, other, "three", overwrite=True)
    assert run(["compare", str(results), str(other), "--json"]) == 0
    content = printed(capsys)
    assert content["mean"]["beat_f"] == pytest.approx(0.5)
    assert content["mean"]["label_accuracy"] == pytest.approx(1)
    assert content["differs_most"]["beat_f"] == "two"
    assert (content["only_in_a"], content["only_in_b"]) == ([], ["three"])
    assert run(["compare", str(results), str(other)]) == 0
    out = capsys.readouterr().out
    assert "beats, F" in out.partition("differs most")[2]
    assert "labels" not in out.partition("differs most")[2]


def test_beats_against_no_beats_do_not_agree(capsys, results, tmp_path):
    nothing = replace(RESULT, bpm=None, beats=[], downbeats=[], beat_positions=[])
    save_result(nothing, tmp_path, "silent")
    pair = [str(results / "one.json"), str(tmp_path / "silent.json")]
    for first, second in (pair, pair[::-1]):
        assert run(["compare", first, second, "--json"]) == 0
        assert printed(capsys)["mean"]["beat_f"] == 0
    assert run(["compare", pair[1], pair[1], "--json"]) == 0
    assert "beat_f" not in printed(capsys)["mean"]


def test_a_folder_is_not_compared_with_a_file(capsys, results):
    assert run(["compare", str(results), str(results / "one.json")]) == 2
    assert "two folders, or two results" in capsys.readouterr().err


def test_names_are_the_same_however_accents_are_encoded(capsys, tmp_path):
    one, two = "caf\u00e9", "cafe\u0301"
    for folder, name in (("a", one), ("b", two)):
        save_result(RESULT, tmp_path / folder, name)
    (tmp_path / f"{two}.lab").write_text("0 10 verse\n")
    assert run(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--json"]) == 0
    assert printed(capsys)["only_in_a"] == []
    reference = ["--reference", str(tmp_path / f"{two}.lab")]
    save_result(RESULT, tmp_path / "a", "other", overwrite=True)
    assert run(["evaluate", str(tmp_path / "a"), *reference, "--json"]) == 0
    assert printed(capsys)["no_reference"] == ["other"]
