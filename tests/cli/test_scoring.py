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
