"""The exporter as users meet it: found by its entry point, run by the command."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from allin1_core.cli.main import run
from allin1_core.contracts.result import AnalysisResult
from allin1_core.contracts.sections import Segment
from allin1_core.io.results import save_result

SECTIONS = [
    Segment(0.0, 8.0004, "intro"),
    Segment(8.0004, 3725.9996, 'verse "1" & <more>\x01'),
    Segment(3725.9996, 4000.0, "Refrain é"),
]
RESULT = AnalysisResult(Path("song.wav"), None, [], [], [], SECTIONS)


@pytest.fixture
def result(tmp_path: Path) -> Path:
    return save_result(RESULT, tmp_path, "song")


def test_the_format_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:2] == ["podlove", ".psc"] for line in lines)


def test_sections_become_chapters(capsys: pytest.CaptureFixture[str], result: Path) -> None:
    assert run(["export", str(result), "--to", "podlove"]) == 0
    written = result.with_suffix(".psc")
    assert capsys.readouterr().out.strip() == str(written)
    root = ET.parse(written).getroot()
    assert root.tag == "{http://podlove.org/simple-chapters}chapters"
    assert root.get("version") == "1.2"
    assert [(one.get("start"), one.get("title")) for one in root] == [
        ("00:00:00.000", "intro"),
        ("00:00:08.000", 'verse "1" & <more>\\x01'),
        ("01:02:06.000", "Refrain é"),
    ]
    assert 'xmlns:psc="http://podlove.org/simple-chapters"' in written.read_text("utf-8")


def test_the_offset_moves_chapters(result: Path) -> None:
    assert run(["export", str(result), "--to", "podlove", "--offset", "26"]) == 0
    root = ET.parse(result.with_suffix(".psc")).getroot()
    assert root[1].get("start") == "00:00:08.026"


def test_a_song_without_sections_is_an_error_and_leaves_no_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = save_result(replace(RESULT, segments=[]), tmp_path, "bare")
    assert run(["export", str(path), "--to", "podlove"]) == 6
    assert "bare has no sections" in capsys.readouterr().err
    assert not path.with_suffix(".psc").exists()
