"""The Parquet data set: appended to, idempotent, and whole whatever happens."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from allin1_core.contracts.result import AnalysisResult, Identity, Provenance, Tempo
from allin1_core.contracts.sections import Segment
from allin1_core.errors import AudioError, OutputError
from allin1_core.runtime.batch import Outcome
from allin1_core.runtime.track import Track

from allin1_ray import table as table_module
from allin1_ray.table import ResultTable, read_table
from allin1_ray.work import Song


def song(name: str) -> Song:
    return Song(Track(name, Path(f"/music/{name}.mp3")))


def done(name: str, *, audio: str = "1", model: str = "builtin", status="done") -> Outcome:
    identity = Identity(audio, model, "w", ("close", None), {}, 1)
    result = AnalysisResult(
        Path(f"/music/{name}.mp3"), 120, [0.5, 1.0], [0.5], [1, 2], [Segment(0.0, 1.5, "verse")],
        tempo=Tempo(120.0, 0.5, 0.001, True), provenance=Provenance("0", model, {}, (), identity=identity),
    )  # fmt: skip
    return Outcome(song(name).track, result, status=status)


def failed(name: str, words: str = "no audio") -> Outcome:
    return Outcome(song(name).track, error=AudioError(words), status="failed")


def write(out: Path, **outcomes: Outcome) -> None:
    with ResultTable(str(out)) as table:
        for name, outcome in outcomes.items():
            table.add(song(name), outcome)


def rows(out: Path) -> dict[str, dict]:
    found = read_table(str(out)).to_pylist()
    assert len({row["name"] for row in found}) == len(found)
    return {row["name"]: row for row in found}


def files(out: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def letters(out: Path) -> list[str]:
    lines = (out / "dead-letters.jsonl").read_text().splitlines()
    return [json.loads(line)["name"] for line in lines]


def test_a_row_holds_the_result_and_where_it_came_from(tmp_path):
    write(tmp_path, a=done("a"), b=failed("b"))
    found = rows(tmp_path)
    a, b = found["a"], found["b"]
    assert (a["bpm"], a["tempo"]["bpm"], a["beats"], a["beat_positions"]) == (
        120,
        120.0,
        [0.5, 1.0],
        [1, 2],
    )
    assert a["segments"] == [{"start": 0.0, "end": 1.5, "label": "verse"}]
    assert json.loads(a["provenance"])["identity"]["audio"] == "1"
    assert (a["model"], a["status"], a["error"], a["song"]) == (
        "builtin",
        "done",
        None,
        "/music/a.mp3",
    )
    assert (b["model"], b["status"], b["error"], b["beats"]) == (None, "failed", "no audio", None)
    assert letters(tmp_path) == ["b"]


def test_pandas_and_parquet_readers_take_the_folder_as_it_is(tmp_path):
    import pandas

    write(tmp_path, a=done("a"), b=failed("b"))
    frame = pandas.read_parquet(tmp_path / "songs.parquet")
    assert set(frame["name"]) == {"a", "b"}


def test_what_is_there_is_not_written_again(tmp_path):
    write(tmp_path, a=done("a"), b=failed("b"))
    before = files(tmp_path)
    write(tmp_path, a=done("a", status="skipped"), b=failed("b"))
    assert files(tmp_path) == before


def test_rows_are_appended_and_those_of_songs_done_anew_replaced(tmp_path):
    write(tmp_path, a=done("a"), b=failed("b"), c=done("c"))
    write(tmp_path, b=done("b"), c=done("c", audio="2"), d=done("d", model="mine"))
    found = rows(tmp_path)
    assert {name: row["model"] for name, row in found.items()} == {
        "a": "builtin", "b": "builtin", "c": "builtin", "d": "mine",
    }  # fmt: skip
    assert json.loads(found["c"]["provenance"])["identity"]["audio"] == "2"
    assert letters(tmp_path) == []
    write(tmp_path, a=failed("a", "gone"))
    assert rows(tmp_path)["a"]["error"] == "gone"


def test_a_song_that_comes_twice_in_a_run_has_the_later_row(tmp_path):
    with ResultTable(str(tmp_path)) as table:
        table.add(song("a"), failed("a"))
        table.add(song("a"), done("a"))
        assert (len(table), table.failed) == (1, 0)
    assert rows(tmp_path)["a"]["status"] == "done"


def test_results_that_were_left_alone_are_not_entered(tmp_path):
    write(tmp_path, a=replace(done("a"), status="kept"))
    assert rows(tmp_path) == {}


def test_parts_are_written_as_they_fill_and_each_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(table_module, "_PART_ROWS", 3)
    table = ResultTable(str(tmp_path))
    for number in range(7):
        table.add(song(f"s{number}"), done(f"s{number}"))
    # As if the driver died now: two parts are there, and one row is lost with it.
    assert len(rows(tmp_path)) == 6
    write(tmp_path, s6=done("s6", status="skipped"))
    assert len(rows(tmp_path)) == 7


def test_what_a_driver_that_died_left_is_mended_by_the_next(tmp_path, monkeypatch):
    write(tmp_path, a=done("a"), b=done("b"))
    table = ResultTable(str(tmp_path))
    table.add(song("a"), done("a", audio="2"))
    table.flush()  # and dies before it removes the row from before
    names = read_table(str(tmp_path))["name"].to_pylist()
    assert sorted(names) == ["a", "a", "b"]
    torn = tmp_path / "songs.parquet" / "status=done" / ".part-1.parquet.torn"
    torn.write_bytes(b"PAR1 half")
    write(tmp_path)
    assert json.loads(rows(tmp_path)["a"]["provenance"])["identity"]["audio"] == "2"
    assert set(rows(tmp_path)) == {"a", "b"}
    assert not torn.exists()


def test_a_table_that_cannot_be_read_is_an_error_and_stays(tmp_path):
    folder = tmp_path / "songs.parquet"
    folder.mkdir()
    (folder / "part.parquet").write_bytes(b"something else")
    with pytest.raises(OutputError, match="Move it away"):
        ResultTable(str(tmp_path))
    assert (folder / "part.parquet").read_bytes() == b"something else"


def test_each_part_can_be_read_alone(tmp_path):
    write(tmp_path, a=done("a"))
    (part,) = (tmp_path / "songs.parquet").rglob("*.parquet")
    assert pq.ParquetFile(part).read().column_names == table_module.SCHEMA.names
