"""The display of a result in a notebook."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from allin1_core.contracts.result import AnalysisResult
from allin1_core.contracts.sections import Segment

SVG = "{http://www.w3.org/2000/svg}"


def a_result(seconds: float = 32.0, **changes: object) -> AnalysisResult:
    beats = [0.5 * i for i in range(int(2 * seconds))]
    fields = {
        "path": Path("/music/song.wav"),
        "bpm": 120,
        "beats": beats,
        "downbeats": beats[::4],
        "beat_positions": [i % 4 + 1 for i in range(len(beats))],
        "segments": [Segment(0, seconds / 2, "verse"), Segment(seconds / 2, seconds, "chorus")],
    }
    return AnalysisResult(**(fields | changes))


def parsed(result: AnalysisResult) -> ET.Element:
    """Read as XML, which is stricter than HTML about escapes and closing tags."""
    return ET.fromstring(result._repr_html_().replace("&middot;", ""))


def test_sections_are_where_they_are_heard():
    root = parsed(a_result())
    bands = [one for one in root.iter("svg") if "x" in one.attrib]
    assert [(float(b.get("x")), float(b.get("width"))) for b in bands] == [(0, 500), (500, 500)]
    assert [b.find("text").text for b in bands] == ["verse", "chorus"]
    fills = [b.find("rect").get("fill") for b in bands]
    assert len(set(fills)) == 2


def test_beats_and_downbeats_are_where_they_are_heard():
    beats, downbeats = (
        [float(x) for x in re.findall(r"M([\d.]+) ", path.get("d"))]
        for path in parsed(a_result()).iter("path")
    )
    assert beats == pytest.approx([1000 * 0.5 * i / 32 for i in range(64)], abs=0.01)
    assert downbeats == pytest.approx(beats[::4])


def test_text_from_outside_is_escaped():
    nasty = '<script>alert("1")</script>'
    made = a_result(
        path=Path(f"{nasty}\x1b.wav"), segments=[Segment(0, 32, nasty)], warnings=[nasty]
    )
    text = made._repr_html_()
    assert "<script" not in text
    assert "\x1b" not in text
    assert text.count("&lt;script&gt;") >= 3
    parsed(made)


@pytest.mark.parametrize(
    "changes",
    [
        {"segments": []},
        {"bpm": None, "beats": [], "downbeats": [], "beat_positions": []},
        {"bpm": None, "beats": [], "downbeats": [], "beat_positions": [], "segments": []},
        {"path": Path("caf\udce9.wav")},
        {"segments": [Segment(0, 32, "a label that nobody knows")]},
    ],
)
def test_what_is_missing_or_unknown_is_fine(changes):
    made = a_result(**changes)
    parsed(made)
    made._repr_html_().encode("utf-8")


@pytest.mark.parametrize("seconds", [2.0, 30.0, 7200.0])
def test_short_and_long_songs_have_few_numbers_and_no_more_lines_than_can_be_seen(seconds):
    made = a_result(seconds)
    root = parsed(made)
    numbers = root.find("svg").findall("text")
    assert 1 <= len(numbers) <= 15
    assert len(made._repr_html_()) < 60_000


def test_the_picture_needs_no_numpy():
    code = (
        "import sys; from pathlib import Path;"
        "from allin1_core.contracts.result import AnalysisResult;"
        "AnalysisResult(Path('a.wav'), None, [], [], [], [])._repr_html_();"
        "sys.exit('numpy' in sys.modules or 'matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
