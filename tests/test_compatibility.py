"""The table of flags, functions and files of the original and its forks matches this package."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

import allin1_core
from allin1_core.cli.main import cli, run

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "compatibility.md").read_text("utf-8")

#: Flags that users of the family know.
KNOWN = [
    "-o",
    "--out-dir",
    "-v",
    "--visualize",
    "--viz-dir",
    "-s",
    "--sonify",
    "--sonif-dir",
    "-a",
    "--activ",
    "-e",
    "--embed",
    "--array-dir",
    "-m",
    "--model",
    "-d",
    "--device",
    "-k",
    "--keep-byproducts",
    "--demix-dir",
    "--spec-dir",
    "--overwrite",
    "--no-multiprocess",
    "--compile-model",
    "--demucs-overlap",
    "--demucs-fp16",
    "--demix-seed",
    "--stems-dir",
    "--stems-bass",
    "--stems-drums",
    "--stems-other",
    "--stems-vocals",
    "--stems-pattern",
    "--spec-backend",
    "--spec-check",
    "--spec-fast-guard",
    "--timings-path",
    "--timings-viz-path",
    "--cache-info",
    "--clear-cache",
    "--weights-dir",
    "--demix-batch-size",
]


def rows(heading: str) -> list[list[str]]:
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def options() -> set[str]:
    command = cli.get_command(None, "analyze")
    return {name for p in command.params for name in (*p.opts, *p.secondary_opts)}


def test_every_flag_of_the_family_is_in_the_table_once():
    listed = [flag for row in rows("Options") for flag in quoted(row[0])]
    assert sorted(listed) == sorted(KNOWN)


def test_every_flag_of_the_table_is_one_of_the_command_and_so_is_what_replaces_it():
    flags = {flag for row in rows("Options") for cell in (row[0], row[1]) for flag in quoted(cell)}
    assert flags <= options()
    named = {
        f
        for row in rows("Options")
        for t in quoted(row[2])
        for f in re.findall(r"--?[a-z-]+[a-z]|-[a-z]\b", t)
    }
    assert {f for f in named if f.startswith("-")} <= options() | {"--spec-fast-guard-"}


@pytest.mark.parametrize("row", rows("Functions"), ids=lambda row: quoted(row[0])[0][:20])
def test_every_function_has_the_arguments_of_the_table_in_their_order(row):
    name, arguments = re.fullmatch(r"(\w+)\((.*)\)", quoted(row[0])[0]).groups()
    given = arguments.split(", ")
    function = getattr(allin1_core, name)
    if "spec_backend" in given:
        from allin1_core.api import AnalyzeOptions

        assert set(given) <= set(AnalyzeOptions.__annotations__)
    else:
        assert list(inspect.signature(function).parameters)[: len(given)] == given


def test_a_command_line_for_the_original_writes_the_files_of_the_table(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    soundfile.write("song.wav", rng.normal(0, 0.1, 3 * 44100), 44100)
    assert run(["song.wav", "-v", "-s", "-a", "-e", "-m", "builtin", "--no-multiprocess"]) == 0
    written = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert written == {"song.wav", *(quoted(row[0])[0] for row in rows("Files"))}
    result = allin1_core.load_result("struct/song.json")
    assert result.embeddings.shape[:3:2] == (4, 24)
    assert result.activations["label"].shape[0] == 10
